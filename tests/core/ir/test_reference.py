"""The judge: exact execution of whole graphs, its checks, batches and states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.ir import everything
from tests.core.ir.build import INT8, Quantized

from nibblefit.errors import InputError, MismatchError
from nibblefit.fixed.formats import Accumulator, Format, Overflow
from nibblefit.fixed.steps import Add, Mul
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.intervals import accumulator_bounds, node_bounds, tensor_bounds
from nibblefit.ir.legal import check_quantized
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedTensor
from nibblefit.ir.reference import FORMULAS, run

SEEDS = st.integers(0, 2**32 - 1)


def images(seed: int, count: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, (count, 4, 6, 6))


@given(SEEDS)
def test_a_batch_equals_its_images_one_by_one(seed):
    """Every tensor and the final state, over a graph of all operators."""
    graph = everything.quantized(seed % 7)
    x = images(seed)
    batch = run(graph, {"x": x})
    state, single = None, []
    for image in x:
        execution = run(graph, {"x": image[None]}, state)
        state = execution.state
        single.append(execution.tensors)
    assert set(batch.tensors) == set(graph.tensors) - set(graph.constants)
    for name, values in batch.tensors.items():
        assert values.dtype == np.int64
        assert (np.concatenate([t[name] for t in single]) == values).all(), name
    assert (batch.state["range"] == state["range"]).all()


@given(SEEDS)
def test_every_tensor_lies_in_its_proven_bounds(seed):
    """Interval propagation is never too narrow, tensor by tensor."""
    graph = everything.quantized(seed % 7)
    bounds = tensor_bounds(graph)
    for name, values in run(graph, {"x": images(seed)}).tensors.items():
        lo, hi = bounds[name]
        assert lo <= values.min(), name
        assert values.max() <= hi, name


def test_the_graph_of_all_operators_is_legal_and_complete():
    """It uses every operator the judge knows, and breaks no rule."""
    graph = everything.quantized()
    check_quantized(graph)
    assert {node.op for node in graph.nodes} == {*FORMULAS, Op.CHOOSE_SHIFT}


def test_an_empty_batch_goes_through():
    """No images give no results and no error."""
    execution = run(everything.quantized(), {"x": images(0, 0)})
    assert execution.outputs["class"].shape == (0,)


def chain(fmt=INT8, accumulator=None, steps=()):
    net = Quantized()
    net.input("x", (2,), INT8)
    net.node(Op.IDENTITY, ["x"], "y", fmt, input_steps=((Mul(100),),), steps=steps,
             accumulator=accumulator)  # fmt: skip
    return net.graph()


@pytest.mark.parametrize(("overflow", "expected"), [
    (Overflow.WRAP, [(12700 + 2048) % 4096 - 2048, -100]), (Overflow.SATURATE, [2047, -100]),
])  # fmt: skip
def test_accumulators_wrap_or_saturate_once(overflow, expected):
    """The width acts on the exact sum, before the steps."""
    graph = chain(Format(16), Accumulator(12, overflow))
    assert run(graph, {"x": np.array([[127, -1]])}).outputs["y"].tolist() == [expected]


def test_a_forbidden_overflow_names_node_and_value():
    """Judging never hides a sum that leaves its accumulator."""
    with pytest.raises(
        MismatchError, match=r"node 'y' \(identity\): the accumulator reaches 12700"
    ):
        run(chain(Format(16), Accumulator(12)), {"x": np.array([[127, 0]])})
    fits = run(chain(Format(16), Accumulator(16)), {"x": np.array([[127, 0]])})
    assert fits.outputs["y"].tolist() == [[12700, 0]]


def test_an_output_beyond_its_format_names_the_node():
    """Nothing is clamped that no step clamps."""
    with pytest.raises(MismatchError, match=r"node 'y'.*codes 0 to 12700.*int8 holds -128 to 127"):
        run(chain(), {"x": np.array([[127, 0]])})


def test_sums_beyond_int64_name_the_node():
    """Even 64 bits are checked."""
    graph = chain(Format(64), None, (Mul(2**60),))
    with pytest.raises(MismatchError, match=r"node 'y'.*does not fit 64 bits"):
        run(graph, {"x": np.array([[127, 0]])})


@pytest.mark.parametrize(("inputs", "text"), [
    ({}, "input 'x' is missing"),
    ({"x": np.zeros((1, 2))}, "float64; expected integer codes"),
    ({"x": np.zeros((1, 3), dtype=int)}, r"shape \(1, 3\); expected \(batch, 2\)"),
    ({"x": np.array(3)}, "shape"),
    ({"x": np.array([[0, 128]])}, "codes 0 to 128; int8 holds"),
])  # fmt: skip
def test_unusable_inputs_are_refused(inputs, text):
    """Missing, real-valued, misshapen and out-of-range inputs."""
    with pytest.raises(InputError, match=text):
        run(chain(), inputs)


def test_batches_of_different_sizes_are_refused():
    """All inputs must bring the same images."""
    net = Quantized()
    net.input("a", (2,))
    net.input("b", (2,))
    net.node(Op.ADD, ["a", "b"], "y", Format(9))
    with pytest.raises(InputError, match="different batch sizes"):
        run(net.graph(), {"a": np.zeros((1, 2), dtype=int), "b": np.zeros((2, 2), dtype=int)})


def test_a_declared_shape_that_is_wrong_is_found():
    """The judge checks shapes as it goes."""
    graph = chain(Format(16))
    wrong = replace(graph, tensors=frozen_mapping(
        {**graph.tensors, "y": QuantizedTensor("y", (3,), Format(16))}))  # fmt: skip
    with pytest.raises(MismatchError, match=r"came out as \(2,\); the graph says \(3,\)"):
        run(wrong, {"x": np.zeros((1, 2), dtype=int)})


def test_constants_stand_for_the_same_value_in_every_image():
    """A constant operand is broadcast over the batch, alone as well as with tensors."""
    net = Quantized()
    net.input("x", (2, 3))
    net.constant("c", np.ones((2, 3)), INT8)
    net.node(Op.CONCAT, ["x", "x"], "double", INT8, attributes={"axis": 1})
    net.node(Op.ADD, ["x", "c"], "sum", Format(16), input_steps=((), (Mul(5), Add(1))))
    net.node(Op.IDENTITY, ["c"], "copy", INT8)
    found = run(net.graph("double", "sum", "copy"), {"x": np.zeros((4, 2, 3), dtype=int)})
    assert np.unique(found.tensors["sum"]).tolist() == [6]
    assert found.tensors["copy"].shape == (4, 2, 3)


def test_intervals_are_tight_for_one_layer():
    """The bound of a linear layer is reached by the worst input, per output channel."""
    rng = np.random.default_rng(0)
    weights, bias = rng.integers(-128, 128, (3, 6)), rng.integers(-99, 99, 3)
    net = Quantized()
    net.input("x", (6,))
    net.constant("w", weights)
    net.constant("b", bias)
    net.node(Op.LINEAR, ["x", "w", "b"], "y", accumulator=Accumulator(32))
    graph = net.graph()
    worst = np.where(weights > 0, 127, -128), np.where(weights > 0, -128, 127)
    hi = run(graph, {"x": worst[0]}).outputs["y"]
    lo = run(graph, {"x": worst[1]}).outputs["y"]
    assert accumulator_bounds(graph) == {"y": (lo.diagonal().min(), hi.diagonal().max())}
    assert node_bounds(graph)["y"].output == accumulator_bounds(graph)["y"]


@pytest.mark.parametrize(("overflow", "bounds"), [
    (Overflow.WRAP, (-2048, 2047)), (Overflow.SATURATE, (-2048, 2047)),
])  # fmt: skip
def test_bounded_accumulators_bound_what_follows(overflow, bounds):
    """Wrap and saturate cut the range before the steps; a wide one changes nothing."""
    assert node_bounds(chain(Format(16), Accumulator(12, overflow)))["y"].output == bounds
    assert node_bounds(chain(Format(16), Accumulator(20, overflow)))["y"].output == (-12800, 12700)
