"""The MAX78000 written in steps, against its formulas in exact fractions.

Pool before the convolution with truncating average, weights of 4 bits, bias × 128, one total
shift rounded half up, clip, then activation; or the raw 32-bit sum.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from tests.core.fixed.exact import clamp, conv_nd
from tests.core.ir.build import Quantized

from nibblefit.fixed.formats import Accumulator, Format, Rounding
from nibblefit.fixed.steps import Clamp, Divide, ShiftLeft, ShiftRight
from nibblefit.ir.legal import check_quantized
from nibblefit.ir.ops import Op
from nibblefit.ir.reference import run

INT8, INT4, INT32 = Format(8), Format(4), Format(32)


def network(weights, bias, shift, *, average, activation):
    """Pool 2×2, convolve 3×3, shift by S = output_shift + (8 − bits), clip, activate."""
    net = Quantized()
    net.input("x", (2, 6, 6))
    net.constant("w", weights, INT4)
    net.constant("b", bias, INT8)
    pool = {"kernel": (2, 2), "strides": (2, 2)}
    truncate = (Divide(4, Rounding.TOWARD_ZERO), Clamp(-128, 127))
    if average:
        net.node(Op.AVG_POOL, ["x"], "pool", INT8, attributes=pool, steps=truncate)
    else:
        net.node(Op.MAX_POOL, ["x"], "pool", INT8, attributes=pool)
    n = 7 - shift
    scale = ShiftRight(n, Rounding.HALF_UP) if n > 0 else ShiftLeft(-n)
    net.node(Op.CONV, ["pool", "w", "b"], "conv", INT8, attributes={"pads": (1, 1, 1, 1)},
             input_steps=((), (), (ShiftLeft(7),)), accumulator=Accumulator(32),
             steps=(scale, Clamp(-128, 127)), layer="conv")  # fmt: skip
    if activation == "relu":
        net.node(Op.RELU, ["conv"], "y", INT8, layer="conv")
    else:
        net.node(Op.ABS, ["conv"], "y", INT8, steps=(Clamp(None, 127),), layer="conv")
    net.constant("w2", np.resize(weights, (3, len(weights), 1, 1)), INT4)
    net.node(Op.CONV, ["y", "w2"], "wide", INT32, accumulator=Accumulator(32))
    return net.graph("y", "wide")


def expected(image, weights, bias, shift, *, average, activation):
    """The sheet's formulas on one image, in Python integers and fractions."""
    pooled = [
        [[_pool([int(channel[2 * i + a][2 * j + b]) for a in (0, 1) for b in (0, 1)], average)
          for j in range(3)] for i in range(3)]
        for channel in image
    ]  # fmt: skip
    sums = conv_nd(pooled, weights.tolist(), [128 * b for b in bias], strides=(1, 1),
                   pads=(1, 1, 1, 1), dilations=(1, 1), groups=1, sizes_out=(3, 3))  # fmt: skip
    result = {}
    for index, total in sums.items():
        exact = Fraction(total) * Fraction(2) ** shift / 128
        y = clamp(math.floor(exact + Fraction(1, 2)), -128, 127)
        result[index] = max(y, 0) if activation == "relu" else min(abs(y), 127)
    return result


def _pool(values, average):
    return math.trunc(Fraction(sum(values), 4)) if average else max(values)


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("activation", ["relu", "abs"])
@pytest.mark.parametrize("shift", [-4, 0, 3, 9])
def test_a_layer_equals_the_sheet(average, activation, shift):
    """Pooling first, 4-bit weights, every direction of the shift, both activations."""
    rng = np.random.default_rng(shift + 50)
    weights = rng.integers(-8, 8, (3, 2, 3, 3))
    bias = rng.integers(-128, 128, 3).tolist()
    images = rng.integers(-128, 128, (3, 2, 6, 6))
    graph = network(weights, bias, shift, average=average, activation=activation)
    check_quantized(graph)
    execution = run(graph, {"x": images})
    for n, image in enumerate(images):
        wanted = expected(image, weights, bias, shift, average=average, activation=activation)
        assert {i: int(execution.tensors["y"][(n, *i)]) for i in wanted} == wanted


def test_the_wide_output_is_the_sum_itself():
    """output_width 32: no shift, no clip."""
    rng = np.random.default_rng(7)
    weights, images = rng.integers(-8, 8, (3, 2, 3, 3)), rng.integers(-128, 128, (1, 2, 6, 6))
    execution = run(network(weights, [0, 0, 0], 0, average=False, activation="relu"), {"x": images})
    y, kernel = execution.tensors["y"], np.resize(weights, (3, 3, 1, 1))
    for o, i, j in np.ndindex(3, 3, 3):
        total = sum(int(y[0, c, i, j]) * int(kernel[o, c, 0, 0]) for c in range(3))
        assert execution.outputs["wide"][0, o, i, j] == total


@pytest.mark.parametrize(("rounding", "value", "mean"), [
    (Rounding.TOWARD_ZERO, -3, 0), (Rounding.TOWARD_ZERO, -5, -1),
    (Rounding.HALF_AWAY, -2, -1), (Rounding.HALF_AWAY, 2, 1),
])  # fmt: skip
def test_average_pools_round_as_measured(rounding, value, mean):
    """−0.75 → 0 and −1.25 → −1 by default; −0.5 → −1 and 0.5 → 1 with rounding switched on."""
    net = Quantized()
    net.input("x", (1, 4))
    net.node(Op.AVG_POOL, ["x"], "y", INT8, attributes={"kernel": (4,)},
             steps=(Divide(4, rounding), Clamp(-128, 127)))  # fmt: skip
    x = np.array([[[value, 0, 0, 0]]])
    assert run(net.graph(), {"x": x}).outputs["y"].tolist() == [[[mean]]]


def test_elementwise_clips_without_a_shift():
    """Add and subtract are clipped to int8; or and xor act on two's complement."""
    net = Quantized()
    net.input("a", (3,))
    net.input("b", (3,))
    for op in (Op.ADD, Op.SUB):
        net.node(op, ["a", "b"], op.value, INT8, steps=(Clamp(-128, 127),))
    for op in (Op.OR, Op.XOR):
        net.node(op, ["a", "b"], op.value, INT8)
    graph = net.graph("add", "sub", "or", "xor")
    check_quantized(graph)
    a, b = [100, -100, 5], [100, 100, -3]
    found = run(graph, {"a": np.array([a]), "b": np.array([b])}).outputs
    pairs = list(zip(a, b, strict=True))
    assert found["add"][0].tolist() == [clamp(p + q, -128, 127) for p, q in pairs]
    assert found["sub"][0].tolist() == [clamp(p - q, -128, 127) for p, q in pairs]
    assert found["or"][0].tolist() == [p | q for p, q in pairs]
    assert found["xor"][0].tolist() == [p ^ q for p, q in pairs]
