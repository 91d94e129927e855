"""TFLite int8 written in steps, against its kernels' arithmetic in Python integers.

Zero points, per-channel 31-bit multipliers with shifts in both rounding forms, the quantized
addition with its left shift of 20, and the average pool. No plugin covers it: it is the stranger.
"""

from __future__ import annotations

import numpy as np
import pytest
from tests.core.fixed.exact import clamp, conv_nd
from tests.core.ir.build import Quantized

from nibblefit.fixed.formats import Accumulator, Format, Rounding, Scale
from nibblefit.fixed.geometry import window
from nibblefit.fixed.operators.pooling import window_counts
from nibblefit.fixed.steps import Add, Clamp, Divide, Mul, ShiftLeft, ShiftRight, int_param
from nibblefit.ir.legal import check_quantized
from nibblefit.ir.ops import Op
from nibblefit.ir.reference import run

ZERO_IN, ZERO_OUT = -128, 5


def c_divide(a: int, b: int) -> int:
    """C integer division: toward zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def doubling_high_mul(a: int, b: int) -> int:
    """The function SaturatingRoundingDoublingHighMul of gemmlowp, written as in its source."""
    product = a * b
    nudge = 2**30 if product >= 0 else 1 - 2**30
    return c_divide(product + nudge, 2**31)


def divide_by_power_of_two(x: int, exponent: int) -> int:
    """The function RoundingDivideByPOT of gemmlowp, written as in its source."""
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (1 if x < 0 else 0)
    return (x >> exponent) + (1 if x & mask > threshold else 0)


def two_roundings(x: int, multiplier: int, shift: int) -> int:
    """MultiplyByQuantizedMultiplier with a positive shift to the left, negative to the right."""
    left, right = max(shift, 0), max(-shift, 0)
    return divide_by_power_of_two(doubling_high_mul(x << left, multiplier), right)


def one_rounding(x: int, multiplier: int, shift: int) -> int:
    """The single-rounding build: one 64-bit product, one rounding shift."""
    total = 31 - shift
    return (x * multiplier + (1 << (total - 1))) >> total


def scale_steps(multipliers, shifts, *, single: bool, shape):
    """The same two forms as steps."""
    column = lambda values: int_param(np.array(values).reshape(shape))  # noqa: E731
    if single:
        return (Mul(column(multipliers)),
                ShiftRight(column([31 - s for s in shifts]), Rounding.HALF_UP))  # fmt: skip
    return (
        ShiftLeft(column([max(s, 0) for s in shifts])),
        Mul(column(multipliers)),
        ShiftRight(31, Rounding.HALF_UP),
        ShiftRight(column([max(-s, 0) for s in shifts]), Rounding.HALF_AWAY),
    )


@pytest.mark.parametrize("single", [False, True])
def test_convolution_with_per_channel_multipliers(single):
    """Input zero point subtracted, 32-bit bias, multiplier and shift per channel, output offset."""
    rng = np.random.default_rng(21)
    weights, bias = rng.integers(-127, 128, (4, 3, 2, 2)), rng.integers(-9999, 9999, 4)
    multipliers = rng.integers(2**30, 2**31, 4).tolist()
    shifts = [-9, -7, 0, 1]
    net = Quantized()
    net.input("x", (3, 4, 4), Format(8, True, Scale.real(0.02), (ZERO_IN,)))
    net.constant("w", weights, Format(8, True, Scale.real(0.1, 0.2, 0.3, 0.4), axis=0))
    net.constant("b", bias, Format(32))
    scaled = scale_steps(multipliers, shifts, single=single, shape=(4, 1, 1))
    net.node(Op.CONV, ["x", "w", "b"], "y", Format(8, True, Scale.real(0.1), (ZERO_OUT,)),
             attributes={"pads": (0, 0, 1, 1)}, input_steps=((Add(-ZERO_IN),), (), ()),
             accumulator=Accumulator(32),
             steps=(*scaled, Add(ZERO_OUT), Clamp(-128, 127)))  # fmt: skip
    graph = net.graph()
    check_quantized(graph)
    images = rng.integers(-128, 128, (4, 3, 4, 4))
    found = run(graph, {"x": images}).outputs["y"]
    requantize = one_rounding if single else two_roundings
    for n, image in enumerate(images):
        sums = conv_nd((image - ZERO_IN).tolist(), weights.tolist(), bias.tolist(), strides=(1, 1),
                       pads=(0, 0, 1, 1), dilations=(1, 1), groups=1, sizes_out=(4, 4))  # fmt: skip
        for (c, *place), acc in sums.items():
            y = clamp(requantize(acc, multipliers[c], shifts[c]) + ZERO_OUT, -128, 127)
            assert found[(n, c, *place)] == y


def test_the_two_forms_differ_on_some_sums():
    """Rounding twice is not rounding once, so the form must be data."""
    scale = (2**30 + 7, -3)
    assert [s for s in range(-3000, 3000) if one_rounding(s, *scale) != two_roundings(s, *scale)]


def test_quantized_addition_with_a_left_shift_of_20():
    """Inputs are scaled to a common grid 2^20 finer, added, and scaled to the output."""
    zero_a, zero_b = -3, 12
    scale_a, scale_b, scale_out = (1503238553, -1), (1073741824, 0), (1288490189, -19)
    net = Quantized()
    net.input("a", (300,))
    net.input("b", (300,))
    align = [
        (Add(-zero), ShiftLeft(20), *scale_steps([m], [s], single=False, shape=(1,)))
        for zero, (m, s) in ((zero_a, scale_a), (zero_b, scale_b))
    ]
    out = scale_steps([scale_out[0]], [scale_out[1]], single=False, shape=(1,))
    net.node(Op.ADD, ["a", "b"], "y", Format(8), input_steps=tuple(align),
             steps=(*out, Add(ZERO_OUT), Clamp(-128, 127)),
             accumulator=Accumulator(32))  # fmt: skip
    graph = net.graph()
    check_quantized(graph)
    a, b = np.random.default_rng(22).integers(-128, 128, (2, 1, 300))
    found = run(graph, {"a": a, "b": b}).outputs["y"][0].tolist()
    for p, q, y in zip(a[0].tolist(), b[0].tolist(), found, strict=True):
        total = two_roundings((p - zero_a) << 20, *scale_a)
        total += two_roundings((q - zero_b) << 20, *scale_b)
        assert y == clamp(two_roundings(total, *scale_out) + ZERO_OUT, -128, 127)


def test_average_pool_divides_by_the_samples_really_seen():
    """(sum ± count/2) / count in C, the count smaller at the padded border."""
    pads = (1, 1, 1, 1)
    counts = window_counts((4, 4), window((3, 3), (2, 2), pads), False)
    net = Quantized()
    net.input("x", (1, 4, 4))
    net.node(Op.AVG_POOL, ["x"], "y", Format(8),
             attributes={"kernel": (3, 3), "strides": (2, 2), "pads": pads},
             steps=(Divide(int_param(counts), Rounding.HALF_AWAY), Clamp(-128, 127)))  # fmt: skip
    graph = net.graph()
    check_quantized(graph)
    images = np.random.default_rng(23).integers(-128, 128, (20, 1, 4, 4))
    found = run(graph, {"x": images}).outputs["y"]
    for n, i, j in np.ndindex(20, 2, 2):
        rows = range(max(2 * i - 1, 0), min(2 * i + 2, 4))
        columns = range(max(2 * j - 1, 0), min(2 * j + 2, 4))
        seen = [int(images[n, 0, r, c]) for r in rows for c in columns]
        half = len(seen) // 2
        total = sum(seen) + (half if sum(seen) > 0 else -half)
        assert found[n, 0, i, j] == clamp(c_divide(total, len(seen)), -128, 127)
