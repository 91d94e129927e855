"""Proven ranges of single operators, and proofs that cannot be given."""

from __future__ import annotations

import numpy as np
import pytest
from tests.core.ir.build import Quantized

from nibblefit.errors import GraphError
from nibblefit.fixed.formats import Format
from nibblefit.fixed.steps import Add, Mul
from nibblefit.ir.intervals import accumulator_bounds, node_bounds
from nibblefit.ir.ops import Op
from nibblefit.ir.reference import run


@pytest.mark.parametrize(("op", "shapes", "attributes"), [
    (Op.LINEAR, [(4,), (2, 4)], {}),
    (Op.CONV_TRANSPOSE, [(2, 3), (2, 1, 2)], {}),
    (Op.TABLE, [(4,), (256,)], {"lowest": -128}),
    (Op.SCALE_OFFSET, [(4,), (4,), (4,)], {}),
    (Op.SOFTMAX, [(4,), (256,)], {"axis": 1, "numerator": 255, "rounding": "floor"}),
])  # fmt: skip
def test_computed_parameters_prove_nothing(op, shapes, attributes):
    """Bounds need the actual weights and tables; the error names the node."""
    net = Quantized()
    names = [net.input(f"i{index}", shape) for index, shape in enumerate(shapes)]
    net.node(op, names, "y", attributes=attributes)
    with pytest.raises(GraphError, match=rf"node 'y' \({op.value}\): its .* no constant"):
        node_bounds(net.graph())


@pytest.mark.parametrize(("offset", "expected"), [
    (500, (372, 627)), (-500, (-1256, -746)), (0, (-256, 127)),
])  # fmt: skip
def test_one_sided_inputs_use_one_side_of_a_leaky_relu(offset, expected):
    """Only reachable sides count: x above zero, 2·x below."""
    net = Quantized()
    net.input("x", (4,))
    net.node(Op.LEAKY_RELU, ["x"], "y", input_steps=((Add(offset),),),
             attributes={"negative": (Mul(2),)})  # fmt: skip
    assert accumulator_bounds(net.graph()) == {"y": expected}


def test_a_computed_bias_adds_its_range():
    """Bias (batch, channels) widens every channel by the same range."""
    net = Quantized()
    net.input("x", (1,))
    net.input("b", (2,), Format(4))
    net.constant("w", [[1], [-1]])
    net.node(Op.LINEAR, ["x", "w", "b"], "y")
    assert accumulator_bounds(net.graph()) == {"y": (-136, 135)}


def test_transposed_convolutions_count_every_tap_of_an_output_channel():
    """The bound is safe and reached where all taps of a channel meet."""
    weights = np.array([[[3, -2], [1, 1]], [[4, 0], [-5, 2]]])
    net = Quantized()
    net.input("x", (2, 6))
    net.constant("w", weights)
    net.node(Op.CONV_TRANSPOSE, ["x", "w"], "y", attributes={"strides": (1,), "groups": 2})
    graph = net.graph()
    lo, hi = accumulator_bounds(graph)["y"]
    x = np.random.default_rng(0).choice([-128, 127], (500, 2, 6))
    found = run(graph, {"x": x}).outputs["y"]
    assert lo <= found.min()
    assert found.max() <= hi
    per_output = [(3, -2), (1, 1), (4, 0), (-5, 2)]
    best = [sum(127 * t if t > 0 else -128 * t for t in taps) for taps in per_output]
    assert hi == max(best) == found.max()


def test_empty_constants_and_huge_weights_are_bounded_exactly():
    """Weights beyond int64 sums go through Python integers."""
    net = Quantized()
    net.input("x", (3,), Format(2))
    net.constant("w", [[2**62, 2**62, 2**62]])
    net.node(Op.LINEAR, ["x", "w"], "y")
    assert accumulator_bounds(net.graph()) == {"y": (-6 * 2**62, 3 * 2**62)}
