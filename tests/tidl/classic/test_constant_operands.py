"""Sums and products with constants become the layers that Caffe writes for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.tidl.networks import Net

from nibblefit.ir.float_reference import run_float
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.quantization.fold import fold
from nibblefit_tidl.caffe.entry import import_caffe
from nibblefit_tidl.caffe.writing import write_caffe
from nibblefit_tidl.classic.constant_operands import as_scale_layers
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.classic.quantize import quantize_network
from nibblefit_tidl.classic.target import TARGET

CHANNELS = np.array([-128.0, 3.0, 0.5], np.float32)


def _network(op: Op, values: np.ndarray, *, constant_first: bool = False) -> tuple[Net, Graph]:
    net = Net((3, 6, 6))
    operand = net.constant("offset", values)
    inputs = [operand, net.x] if constant_first else [net.x, operand]
    return net, net.finish(net.relu(net.conv(net.add(op, inputs, "front"), 4, "c")))


@pytest.mark.parametrize("op", [Op.ADD, Op.SUB, Op.MUL])
@pytest.mark.parametrize(
    "values", [CHANNELS.reshape(3, 1, 1), np.full((1, 1), 7.5), np.float32(7.5)]
)
def test_the_function_stays_the_same(op: Op, values: np.ndarray) -> None:
    """One number in all or one per channel becomes factor and offset; every output bit stays."""
    _, graph = _network(op, np.asarray(values))
    found = as_scale_layers(graph)
    (front,) = [node for node in found.nodes if node.name == "front"]
    assert front.op is Op.SCALE_OFFSET
    x = np.random.default_rng(1).normal(size=(2, 3, 6, 6)).astype(np.float32)
    before, after = (run_float(each, {"x": x}, np.float32) for each in (graph, found))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_what_is_trained_keeps_its_name() -> None:
    """The constant's own name stays, and its companion is never trained."""
    _, graph = _network(Op.ADD, CHANNELS.reshape(3, 1, 1))
    (front,) = [node for node in as_scale_layers(graph).nodes if node.name == "front"]
    assert front.inputs == ("x", "front.scale:fixed", "offset")


def test_a_constant_with_another_reader_is_copied() -> None:
    """The other reader still finds the constant as it was."""
    net = Net((3, 6, 6))
    operand = net.constant("offset", CHANNELS.reshape(3, 1, 1))
    first = net.add(Op.ADD, [net.x, operand], "front")
    graph = as_scale_layers(net.finish(net.add(Op.MUL, [first, operand], "back")))
    assert [node.inputs[1:] for node in graph.nodes] == [
        ("front.scale:fixed", "front.offset"), ("back.scale", "back.offset:fixed"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "values", "first"),
    [
        (Op.ADD, np.zeros((3, 6, 6), np.float32), False),
        (Op.ADD, np.zeros((1, 6), np.float32), False),
        (Op.SUB, CHANNELS.reshape(3, 1, 1), True),
    ],
)
def test_other_constants_stay(op: Op, values: np.ndarray, first: bool) -> None:
    """A constant that differs within a channel, and a constant less a tensor, are no layer."""
    _, graph = _network(op, values, constant_first=first)
    assert [node.op for node in as_scale_layers(graph).nodes] == [node.op for node in graph.nodes]


def test_sums_of_tensors_and_growing_ones_stay() -> None:
    """Two tensors, and a constant that spreads its tensor over a larger map, are no such layer."""
    net = Net((3, 6, 6))
    mean = net.add(Op.GLOBAL_AVG_POOL, [net.x], "mean")
    spread = net.add(Op.ADD, [mean, net.constant("c", np.zeros((3, 6, 6)))], "spread")
    graph = net.finish(net.add(Op.ADD, [spread, net.x], "sum"))
    assert as_scale_layers(graph).nodes == graph.nodes


@pytest.mark.parametrize("op", [Op.ADD, Op.SUB, Op.MUL])
def test_inspection_sees_the_layer(op: Op) -> None:
    """None of them is refused: the importer knows a layer for each."""
    _, graph = _network(op, CHANNELS.reshape(3, 1, 1))
    assert not TARGET.inspect(graph, "am5749", None).failed


@pytest.mark.parametrize("op", [Op.ADD, Op.MUL])
def test_files_give_the_integers_back(op: Op, tmp_path: Path) -> None:
    """The Caffe network with the Bias or Scale layer is quantized to the same codes and steps."""
    _, graph = _network(op, CHANNELS.reshape(3, 1, 1))
    found = fold(as_scale_layers(graph))
    options = ClassicOptions()
    batch = np.random.default_rng(2).normal(size=(4, 3, 6, 6)).astype(np.float32)
    integers, _ = quantize_network(found, options, [batch])
    write_caffe(found, tmp_path / "n.prototxt", tmp_path / "n.caffemodel")
    back = fold(import_caffe(tmp_path / "n.prototxt", tmp_path / "n.caffemodel").graph)
    again, _ = quantize_network(back, options, [batch])
    assert [(n.op, n.steps, n.input_steps) for n in integers.nodes] == [
        (n.op, n.steps, n.input_steps) for n in again.nodes
    ]
    for one, other in zip(integers.nodes, again.nodes, strict=True):
        for name, same in zip(one.inputs, other.inputs, strict=True):
            assert (name in integers.constants) == (same in again.constants)
            if name in integers.constants:
                assert np.array_equal(integers.constants[name], again.constants[same])
