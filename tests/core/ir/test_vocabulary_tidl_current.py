"""Current TIDL written in steps: asymmetric activations, per-channel weights, integer multipliers.

The exact formula is y = clamp(zo + round_half_up(Σ (x − zi)·w · m[c] / 2^s[c])) with bias in the
accumulator's scale.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from tests.core.fixed.exact import clamp, conv_nd
from tests.core.ir.build import Quantized

from nibblefit.fixed.formats import Accumulator, Format, Rounding, Scale
from nibblefit.fixed.steps import Add, Clamp, Mul, ShiftRight, int_param
from nibblefit.ir.legal import check_quantized
from nibblefit.ir.ops import Op
from nibblefit.ir.reference import run

ZERO_IN, ZERO_OUT = 37, 11


@pytest.mark.parametrize("bits", [8, 16])
def test_an_asymmetric_per_channel_convolution_equals_the_formula(bits):
    """Padding means real zero: it is added after the zero point is subtracted."""
    rng = np.random.default_rng(bits)
    scale = Scale.real(0.1, 0.03)
    weights, bias = rng.integers(-128, 128, (2, 3, 3)), rng.integers(-5000, 5000, 2)
    multipliers, shifts = [181, 97], [bits + 6, bits + 4]
    top = 2**bits - 1
    net = Quantized()
    net.input("x", (3, 7), Format(bits, False, Scale.real(0.02), (ZERO_IN,)))
    net.constant("w", weights, Format(8, True, scale, axis=0))
    net.constant("b", bias, Format(32))
    column = lambda values: int_param(np.array(values).reshape(2, 1))  # noqa: E731
    net.node(Op.CONV, ["x", "w", "b"], "y", Format(bits, False, Scale.real(0.05), (ZERO_OUT,)),
             attributes={"pads": (1, 1)}, input_steps=((Add(-ZERO_IN),), (), ()),
             accumulator=Accumulator(40),
             steps=(Mul(column(multipliers)), ShiftRight(column(shifts), Rounding.HALF_UP),
                    Add(ZERO_OUT), Clamp(0, top)))  # fmt: skip
    graph = net.graph()
    check_quantized(graph)
    images = rng.integers(0, top + 1, (4, 3, 7))
    found = run(graph, {"x": images}).outputs["y"]
    for n, image in enumerate(images):
        centred = (image - ZERO_IN).tolist()
        sums = conv_nd(centred, weights.tolist(), bias.tolist(), strides=(1,), pads=(1, 1),
                       dilations=(1,), groups=1, sizes_out=(7,))  # fmt: skip
        for (channel, i), total in sums.items():
            exact = Fraction(total * multipliers[channel], 2 ** shifts[channel])
            y = clamp(math.floor(exact + Fraction(1, 2)) + ZERO_OUT, 0, top)
            assert found[n, channel, i] == y


def test_elementwise_sum_uses_the_smallest_input_scale():
    """Inputs are brought to the finer of both scales by integer weights, then added."""
    net = Quantized()
    for name in ("a", "b"):
        net.input(name, (50,), Format(8, False))
    # Scale of a is 3/64 of b's, which has 6 fractional bits of weight as the sheet says.
    net.node(Op.ADD, ["a", "b"], "y", Format(8, False),
             input_steps=((Mul(3),), (Mul(64),)),
             steps=(ShiftRight(6, Rounding.HALF_UP), Clamp(0, 255)))  # fmt: skip
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 1, 50))
    found = run(net.graph(), {"a": a, "b": b}).outputs["y"][0].tolist()
    for p, q, y in zip(a[0].tolist(), b[0].tolist(), found, strict=True):
        exact = Fraction(3 * p, 64) + q
        assert y == clamp(math.floor(exact + Fraction(1, 2)), 0, 255)
