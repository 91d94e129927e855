"""Shifts chosen at run time: the general quantizer lowers every operator that has such a form."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from tests.core.quantization.networks import Net

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import Accumulator, Overflow
from nibblefit.ir import reference
from nibblefit.ir.graph import Graph
from nibblefit.ir.numerics import (
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
from nibblefit.quantization.twin import Twin

DATA = TensorRule((8,), Signedness.BY_RANGE, scale=ScaleKind.REAL)
NUMERICS = Numerics(
    inputs=DATA,
    activations=DATA,
    weights=TensorRule((8,), scale=ScaleKind.REAL),
    accumulator=Accumulator(40, Overflow.SATURATE),
    requant=RequantRule(Requantization.RUNTIME_SHIFT),
)
RANDOM = np.random.default_rng(0)


def _samples(graph: Graph) -> np.ndarray:
    return RANDOM.uniform(-1, 1, (6, *graph.shapes[graph.inputs[0]])).astype(np.float32)


def _measured(net: Net, *outputs: str) -> tuple[Graph, float]:
    graph = net.builder.finish(list(outputs))
    result = quantize_and_measure(graph, NUMERICS, _samples(graph))
    (name,) = result.graph.inputs
    fmt = result.graph.tensors[name].format
    codes = RANDOM.integers(fmt.lo, fmt.hi, (5, *graph.shapes[name]), endpoint=True)
    judged = reference.run(result.graph, {name: codes}).tensors
    twin = Twin(result.graph)(torch.from_numpy(codes))
    assert all(np.array_equal(judged[key], twin[key].numpy()) for key in judged)
    return graph, min(item.decibels for item in result.noise)


def test_sums_of_changing_and_fixed_scales() -> None:
    """Tensor plus tensor, plus input, plus itself, minus tensor."""
    net = Net((4, 6, 6))
    a, b = net.conv(net.x, 4, "a"), net.conv(net.x, 4, "b")
    deep = net.conv(a, 4, "deep")
    ends = [
        net.add(Op.ADD, [deep, b], "ab"),
        net.add(Op.ADD, [a, net.x], "ax"),
        net.add(Op.ADD, [a, a], "aa"),
        net.add(Op.SUB, [b, deep], "ba"),
        net.add(Op.ADD, [net.x, net.x], "xx"),
    ]
    assert _measured(net, *ends)[1] > 25


def test_products_and_their_exponents() -> None:
    """Tensor times tensor, times a constant, times the input."""
    net = Net((4, 6, 6))
    a, b = net.conv(net.x, 4, "a"), net.conv(net.x, 4, "b")
    constant = net.builder.add_constant("k", np.linspace(0.5, 1.5, 4).reshape(4, 1, 1))
    ends = [
        net.add(Op.MUL, [a, b], "ab"),
        net.add(Op.MUL, [a, constant], "ak"),
        net.add(Op.MUL, [a, net.x], "ax"),
    ]
    assert _measured(net, *ends)[1] > 20


def test_concatenations_meet_at_the_coarsest_scale() -> None:
    """Parts of changing scales, of a fixed one, and one part twice."""
    net = Net((4, 6, 6))
    a = net.conv(net.x, 4, "a")
    b = net.conv(net.add(Op.RELU, [a], "r"), 4, "b")
    ends = [
        net.add(Op.CONCAT, [a, b], "ab", axis=1),
        net.add(Op.CONCAT, [a, net.x], "ax", axis=1),
        net.add(Op.CONCAT, [a, a], "aa", axis=1),
        net.add(Op.CONCAT, [net.x, net.x], "xx", axis=1),
    ]
    assert _measured(net, *ends)[1] > 20


@pytest.mark.parametrize("bound", [0.2, 0.7])
def test_bounds_move_with_the_scale(bound: float) -> None:
    """A clip that joins a layer, one that stands alone, and one on the input."""
    net = Net((4, 6, 6))
    a = net.conv(net.x, 4, "a")
    ends = [
        net.add(Op.CLIP, [a], "joined", lo=0.0, hi=bound),
        net.add(Op.CLIP, [net.x], "fixed", lo=0.0, hi=bound),
        net.add(Op.CLIP, [net.conv(net.x, 4, "b")], "open", lo=0.0, hi=None),
    ]
    assert _measured(net, *ends)[1] > 25


def test_slopes_keep_the_scale() -> None:
    """Leaky and parametric rectifiers, a rectifier on the input, and movers."""
    net = Net((4, 6, 6))
    a = net.conv(net.x, 4, "a")
    slope = net.builder.add_constant("slope", np.array([0.1, 0.3, 0.2, 0.5]))
    leaky = net.add(Op.LEAKY_RELU, [a], "leaky", slope=0.125)
    ends = [
        net.add(Op.PRELU, [net.conv(leaky, 4, "b"), slope], "prelu"),
        net.add(Op.LEAKY_RELU, [net.x], "on_input", slope=0.3),
        net.add(Op.FLATTEN, [net.add(Op.RELU, [net.x], "r")], "flat", start_axis=1),
    ]
    assert _measured(net, *ends)[1] > 25


def test_averages_count_their_windows_exactly() -> None:
    """Padded windows of different sizes share one unit; global ones, and one on the input."""
    net = Net((4, 6, 6))
    a = net.conv(net.x, 4, "a")
    window = {"kernel": (3, 3), "strides": (1, 1), "pads": (1,) * 4, "count_include_pad": False}
    ends = [
        net.add(Op.AVG_POOL, [a], "padded", **window),
        net.add(Op.GLOBAL_AVG_POOL, [a], "whole"),
        net.add(Op.AVG_POOL, [net.x], "on_input", **window),
    ]
    assert _measured(net, *ends)[1] > 25


def test_network_ends() -> None:
    """Softmax of a changing and of a fixed scale, argmax, and per-channel factors."""
    net = Net((4, 6, 6))
    a = net.conv(net.x, 4, "a")
    normed = net.norm(net.add(Op.RELU, [a], "r"), "bn")
    ends = [
        net.add(Op.SOFTMAX, [normed], "soft", axis=1),
        net.add(Op.SOFTMAX, [net.x], "soft_in", axis=1),
        net.norm(net.add(Op.RELU, [net.x], "rx"), "bnx"),
        normed,
    ]
    assert _measured(net, *ends)[1] > 20


def test_argmax_needs_no_scale() -> None:
    """The largest code is the largest value."""
    net = Net((4, 6, 6))
    end = net.add(Op.ARGMAX, [net.conv(net.x, 4, "a")], "best", axis=1, keepdims=True)
    graph = net.builder.finish([end])
    found = quantize_and_measure(graph, NUMERICS, _samples(graph)).graph
    assert "best" not in found.metadata["frame_exponents"]


def test_a_frame_four_times_brighter_has_exponents_two_larger() -> None:
    """Exponents carry the frame's scale; the decoded output scales along."""
    net = Net((2, 6, 6))
    weights = net.builder.add_constant("w", RANDOM.normal(size=(3, 2, 3, 3)))
    layer = net.builder.add(Op.CONV, [net.x, weights], "c", strides=(1, 1), pads=(1,) * 4,
                            dilations=(1, 1), groups=1)  # fmt: skip
    graph = net.builder.finish([layer])
    found = quantize_and_measure(graph, NUMERICS, _samples(graph)).graph
    dark = RANDOM.integers(-30, 31, (1, 2, 6, 6))
    run = reference.run(found, {"x": np.concatenate([dark, 4 * dark])}).tensors
    exponents = run[found.metadata["frame_exponents"]["c:codes"]][:, 0]
    assert exponents[1] == exponents[0] + 2
    assert np.array_equal(run["c"][1], 4 * run["c"][0])


def test_operators_without_such_a_form_are_refused() -> None:
    """The layer is named; so is a clip that does not start at zero."""
    net = Net((4, 6, 6))
    graph = net.builder.finish([net.add(Op.SIGMOID, [net.x], "s")])
    with pytest.raises(UnsupportedError, match=r"'s' \(sigmoid\)"):
        quantize_and_measure(graph, NUMERICS, _samples(graph))
    net = Net((4, 6, 6))
    graph = net.builder.finish([net.add(Op.CLIP, [net.x], "six", lo=-1.0, hi=1.0)])
    with pytest.raises(UnsupportedError, match=r"lower bound -1\.0"):
        quantize_and_measure(graph, NUMERICS, _samples(graph))


def test_alignment_uses_the_declared_precision() -> None:
    """Factors inside sums have as many fractional bits as the target says."""
    net = Net((4, 6, 6))
    end = net.add(Op.ADD, [net.conv(net.x, 4, "a"), net.conv(net.x, 4, "b")], "sum")
    graph = net.builder.finish([end])
    narrow = replace(NUMERICS, multipliers=Multipliers(sums={8: 6}))
    found = quantize_and_measure(graph, narrow, _samples(graph)).graph
    steps = [found.tensors[name].format.scale.values()[0] for name in ("a", "b")]
    wide = found.tensors["sum:sums"].format.scale.values()[0]
    assert Fraction(wide) == Fraction(max(steps)) / 64
    assert math.isclose(min(steps) / wide, round(min(steps) / wide), abs_tol=0.5)
