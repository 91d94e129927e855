"""The DPU written in steps, against its formulas in exact fractions.

Fix positions for input, weights, bias and output; a bias shifted into the accumulator; averages as
rational constants; aligned additions; hard-sigmoid and hard-swish.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from tests.core.fixed.exact import clamp, conv_nd
from tests.core.ir.build import Quantized

from nibblefit.fixed.formats import Accumulator, Format, Rounding, Scale
from nibblefit.fixed.steps import Clamp, Mul, ShiftLeft, ShiftRight, Step
from nibblefit.ir.legal import check_quantized
from nibblefit.ir.ops import Op
from nibblefit.ir.reference import run

HALF = Fraction(1, 2)
INT8 = (Clamp(-128, 127),)


def fix(position: int) -> Format:
    """int8 with a fix position."""
    return Format(8, True, Scale.power_of_two(position))


def rescale(bits: int) -> Step:
    """Remove fractional bits half up, or add them."""
    return ShiftRight(bits, Rounding.HALF_UP) if bits > 0 else ShiftLeft(-bits)


def half_up(x: Fraction) -> int:
    return clamp(math.floor(x + HALF), -128, 127)


@pytest.mark.parametrize(("fi", "fw", "fb", "fo"), [(6, 7, 5, 4), (4, 6, 12, 3), (3, 2, 5, 5)])
def test_convolution_with_shifted_bias(fi, fw, fb, fo):
    """Sum plus shifted bias, times 2^−(fw + fi − fo), half up; the bias may shift right."""
    rng = np.random.default_rng(fi)
    weights, bias = rng.integers(-128, 128, (2, 2, 3, 3)), rng.integers(-128, 128, 2)
    net = Quantized()
    net.input("x", (2, 5, 5), fix(fi))
    net.constant("w", weights, fix(fw))
    net.constant("b", bias, fix(fb))
    shift_bias = fw + fi - fb
    align = ShiftLeft(shift_bias) if shift_bias >= 0 else ShiftRight(-shift_bias, Rounding.FLOOR)
    net.node(Op.CONV, ["x", "w", "b"], "y", fix(fo), input_steps=((), (), (align,)),
             accumulator=Accumulator(32), steps=(rescale(fw + fi - fo), *INT8))  # fmt: skip
    graph = net.graph()
    check_quantized(graph)
    images = rng.integers(-128, 128, (3, 2, 5, 5))
    found = run(graph, {"x": images}).outputs["y"]
    shifted = [math.floor(b * Fraction(2) ** shift_bias) for b in bias.tolist()]
    for n, image in enumerate(images):
        sums = conv_nd(image.tolist(), weights.tolist(), shifted, strides=(1, 1),
                       pads=(0, 0, 0, 0), dilations=(1, 1), groups=1, sizes_out=(3, 3))  # fmt: skip
        for index, acc in sums.items():
            assert found[(n, *index)] == half_up(acc * Fraction(2) ** -(fw + fi - fo))


@pytest.mark.parametrize(("kernel", "multiplier", "shift"), [(3, 7, 6), (5, 10, 8), (7, 21, 10)])
def test_average_pool_as_a_rational_constant(kernel, multiplier, shift):
    """The mean is the sum times multiplier / 2^shift, not the true mean."""
    fi, fo = 4, 5
    net = Quantized()
    net.input("x", (1, kernel, kernel), fix(fi))
    net.node(Op.AVG_POOL, ["x"], "y", fix(fo), attributes={"kernel": (kernel, kernel)},
             steps=(Mul(multiplier), rescale(shift + fi - fo), *INT8))  # fmt: skip
    images = np.random.default_rng(1).integers(-128, 128, (40, 1, kernel, kernel))
    found = run(net.graph(), {"x": images}).outputs["y"]
    for image, y in zip(images, found.reshape(-1).tolist(), strict=True):
        area = kernel * kernel
        mean = Fraction(int(image.sum()), area) * Fraction(area * multiplier, 2**shift)
        assert y == half_up(mean * Fraction(2) ** (fo - fi))


@pytest.mark.parametrize(("fa", "fb", "fo"), [(5, 3, 4), (2, 7, 1), (4, 4, 6)])
def test_addition_aligns_to_the_finer_input(fa, fb, fo):
    """Both inputs go to the larger fix position by a left shift, then one rounding shift."""
    fine = max(fa, fb)
    net = Quantized()
    net.input("a", (60,), fix(fa))
    net.input("b", (60,), fix(fb))
    net.node(Op.ADD, ["a", "b"], "y", fix(fo),
             input_steps=((ShiftLeft(fine - fa),), (ShiftLeft(fine - fb),)),
             steps=(rescale(fine - fo), *INT8))  # fmt: skip
    graph = net.graph()
    check_quantized(graph)
    a, b = np.random.default_rng(2).integers(-128, 128, (2, 1, 60))
    found = run(graph, {"a": a, "b": b}).outputs["y"][0].tolist()
    for p, q, y in zip(a[0].tolist(), b[0].tolist(), found, strict=True):
        exact = p * Fraction(2) ** -fa + q * Fraction(2) ** -fb
        assert y == half_up(exact * Fraction(2) ** fo)


@pytest.mark.parametrize("fi", [0, 3, 6])
def test_hard_sigmoid_and_hard_swish(fi):
    """relu6(x + 3) · 2731/16384, and x times that in 8 bits with fix position 7."""
    fo = 7
    net = Quantized()
    net.input("x", (256,), fix(fi))
    ends = {"three": 3 << fi, "six": 6 << fi}
    gate = (Mul(2731), rescale(14 + fi - 7), *INT8)
    net.node(Op.HARD_SIGMOID, ["x"], "sigmoid", fix(fo), attributes=ends, steps=gate)
    net.node(Op.HARD_SWISH, ["x"], "swish", fix(fi), attributes={**ends, "gate": gate},
             steps=(rescale(7), *INT8))  # fmt: skip
    graph = net.graph("sigmoid", "swish")
    check_quantized(graph)
    codes = np.arange(-128, 128)
    found = run(graph, {"x": codes[None]}).outputs
    for code, sigmoid, swish in zip(codes.tolist(), *(found[k][0].tolist() for k in found),
                                    strict=True):  # fmt: skip
        x = Fraction(code, 2**fi)
        open_share = min(max(x + 3, Fraction(0)), Fraction(6)) * Fraction(2731, 16384)
        gate_code = half_up(open_share * 2**7)
        assert sigmoid == gate_code
        assert swish == half_up(x * Fraction(gate_code, 2**7) * 2**fi)


def test_leaky_relu_has_the_slope_26_of_256():
    """The negative side is multiplied by a rational constant and rounded once."""
    net = Quantized()
    net.input("x", (256,), fix(4))
    net.node(Op.LEAKY_RELU, ["x"], "y", fix(4),
             attributes={"negative": (Mul(26), ShiftRight(8, Rounding.HALF_UP))})  # fmt: skip
    codes = np.arange(-128, 128)
    found = run(net.graph(), {"x": codes[None]}).outputs["y"][0].tolist()
    assert found == [c if c >= 0 else half_up(Fraction(26 * c, 256)) for c in codes.tolist()]
