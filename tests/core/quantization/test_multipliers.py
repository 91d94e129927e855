"""Declared precision of factors inside layers, and biases that are multiplied."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from tests.core.quantization.networks import Net

from nibblefit.fixed.formats import Scale
from nibblefit.fixed.steps import Mul, ShiftRight
from nibblefit.ir.graph import Graph
from nibblefit.ir.numerics import (
    BiasRule,
    Multipliers,
    Numerics,
    Requantization,
    RequantRule,
    ScaleKind,
    Signedness,
    TensorRule,
)
from nibblefit.ir.ops import Op
from nibblefit.quantization.networks import quantize_and_measure
from nibblefit.quantization.weights import bias_limit, quantize_bias

DATA = TensorRule((8,), Signedness.SIGNED, scale=ScaleKind.REAL)
NUMERICS = Numerics(
    inputs=DATA,
    activations=DATA,
    weights=DATA,
    requant=RequantRule(Requantization.MULTIPLY_SHIFT, multiplier_bits=20),
    multipliers=Multipliers(
        sums={8: 6}, concatenations={8: 7}, averages={8: 12}, windows={((2, 2), (2, 2)): 8}
    ),
)
DATA_IN = np.random.default_rng(0).uniform(-1, 1, (6, 4, 6, 6)).astype(np.float32)


def _net() -> tuple[Net, str, str]:
    net = Net((4, 6, 6))
    return net, net.conv(net.x, 4, "a"), net.conv(net.conv(net.x, 4, "c"), 4, "b")


def _quantized(graph: Graph, numerics: Numerics = NUMERICS) -> object:
    return quantize_and_measure(graph, numerics, DATA_IN)


def test_operands_of_a_sum_have_factors_of_the_declared_bits() -> None:
    """The coarsest operand's factor is 2^6, the other one's its share of that."""
    net, a, b = _net()
    found = _quantized(net.builder.finish([net.add(Op.ADD, [a, b], "sum")])).graph
    steps = [Fraction(found.tensors[name].format.scale.values()[0]) for name in (a, b)]
    factors = [step.value for steps in found.node("sum").input_steps for step in steps]
    assert factors == [round(step / max(steps) * 64) for step in steps]


def test_parts_of_a_concatenation_do_too() -> None:
    """Multiplier and shift by 7 bits; a part that has the output's scale is left alone."""
    net, a, b = _net()
    found = _quantized(net.builder.finish([net.add(Op.CONCAT, [a, b], "cat", axis=1)])).graph
    out = found.tensors["cat"].format.scale.values()[0]
    for name, steps in zip((a, b), found.node("cat").input_steps, strict=True):
        ratio = found.tensors[name].format.scale.values()[0] / out
        if ratio != 1.0:
            assert steps[0] == Mul(round(ratio * 128))
            assert isinstance(steps[1], ShiftRight)
            assert steps[1].bits == 7


@pytest.mark.parametrize(("kernel", "factor"), [((2, 2), 64), ((3, 3), 455)])
def test_averages_multiply_by_their_reciprocal(kernel: tuple[int, int], factor: int) -> None:
    """2^8 / 4 for windows with bits of their own, else 2^12 / 9."""
    net = Net((4, 6, 6))
    pool = net.add(Op.AVG_POOL, [net.x], "pool", kernel=kernel, strides=(2, 2), pads=(0,) * 4,
                   count_include_pad=False)  # fmt: skip
    result = _quantized(net.builder.finish([pool]))
    assert result.graph.node("pool").steps[0] == Mul(factor)
    assert min(item.decibels for item in result.noise) > 30


def test_padded_averages_have_a_reciprocal_per_window() -> None:
    """Windows at the border count fewer values."""
    net = Net((4, 6, 6))
    pool = net.add(Op.AVG_POOL, [net.x], "pool", kernel=(3, 3), strides=(1, 1), pads=(1,) * 4,
                   count_include_pad=False)  # fmt: skip
    (first, *_) = _quantized(net.builder.finish([pool])).graph.node("pool").steps
    assert sorted(set(first.value.reshape(-1).tolist())) == [455, 683, 1024]


@pytest.mark.parametrize("signed", [True, False])
def test_multiplied_biases_use_the_smallest_factor(signed: bool) -> None:
    """The largest bias fits with it, and would not with one less."""
    rule = BiasRule(8, factors=(256, 128))
    values = np.array([10.0, -300.0, 0.5])
    codes = quantize_bias(values, Scale.real(0.1), rule, signed=signed)
    factor = codes.format.scale.values()[0] / 0.1
    assert factor == pytest.approx(24)  # 3000 steps / 127, rounded up
    assert codes.values.tolist() == [4, -125, 0]
    assert bias_limit(rule, ScaleKind.REAL, 32, signed=signed) == 127 * (128 if signed else 256)


def test_a_network_with_multiplied_biases_keeps_its_meaning() -> None:
    """The factor joins the bias to the sum in every execution."""
    net = Net((4, 6, 6))
    weight = net.constant("w", 4, 4, 3, 3, scale=0.2)
    bias = net.builder.add_constant("bias", np.array([0.3, -0.25, 0.1, 0.0]))
    layer = net.builder.add(Op.CONV, [net.x, weight, bias], "c", strides=(1, 1), pads=(1,) * 4,
                            dilations=(1, 1), groups=1)  # fmt: skip
    numerics = replace(NUMERICS, bias=BiasRule(8, factors=(256, 128)))
    result = _quantized(net.builder.finish([layer]), numerics)
    (lift,) = result.graph.node("c").steps_of_input(2)
    assert isinstance(lift, Mul)
    assert lift.value > 1
    assert result.noise[-1].decibels > 30
