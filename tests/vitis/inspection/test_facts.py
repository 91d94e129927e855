"""What is read from a file's nodes and from core's graph is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.vitis.inspection.models import model, node, scalar, weights

from nibblefit.nn.onnx_import import import_onnx
from nibblefit_vitis.devices.catalogue import dpu_named
from nibblefit_vitis.inspection.from_graph import network_of
from nibblefit_vitis.inspection.from_onnx import network_of_model
from nibblefit_vitis.inspection.inspection import inspect_network
from nibblefit_vitis.inspection.layer import Layer, Network
from nibblefit_vitis.inspection.placing import Where

CONSTANTS = [
    weights("w", 8, 8, 3, 3), weights("dw", 8, 1, 3, 3), weights("t", 8, 4, 4, 4),
    weights("p", 8, 1, 1), weights("g", 8), weights("v", 8, 8, 3), scalar("low", 0.0),
    scalar("six", 6.0), scalar("four", 4.0),
    numpy_helper.from_array(np.array([0, 0, 1, 2, 0, 0, 3, 4]), "pads"),
    numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice"),
]  # fmt: skip
NODES = [
    node("Conv", "x w", "y", pads=[1, 2, 1, 0], strides=[2, 1], dilations=[1, 2]),
    node("Conv", "x w", "y", auto_pad="SAME_UPPER", strides=[2, 2]),
    node("Conv", "x w", "y", auto_pad="SAME_LOWER", dilations=[2, 2]),
    node("Conv", "x dw", "y", group=8),
    node("ConvTranspose", "x t", "y", strides=[2, 2], pads=[1] * 4),
    node("ConvTranspose", "x t", "y", strides=[2, 2], output_padding=[1, 1]),
    node("MaxPool", "x", "y", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0]),
    node("AveragePool", "x", "y", kernel_shape=[2, 2], strides=[2, 2]),
    node("GlobalAveragePool", "x", "y"),
    node("GlobalMaxPool", "x", "y"),
    node("ReduceMean", "x", "y", axes=[2, 3], keepdims=1),
    node("Mul", "x p", "y"),
    node("LeakyRelu", "x", "y", alpha=0.2),
    node("HardSigmoid", "x", "y", alpha=0.25),
    node("Clip", "x low six", "y"),
    node("Clip", "x low four", "y"),
    node("Pad", "x pads", "y"),
    node("Resize", "x - twice", "y", mode="linear", coordinate_transformation_mode="half_pixel"),
    node("Resize", "x - twice", "y", coordinate_transformation_mode="asymmetric",
         nearest_mode="floor"),
    node("Flatten", "x", "y"),
    node("Concat", "x x", "y", axis=-1),
    node("Transpose", "x", "y", perm=[0, 2, 3, 1]),
    node("PRelu", "x p", "y"),
]  # fmt: skip


def both(tmp_path: Path, one: onnx.NodeProto, *more: onnx.NodeProto) -> tuple[Network, Network]:
    """Return a model as its nodes, and as core's graph."""
    made = model([one, *more], CONSTANTS)
    made.graph.output[0].CopyFrom(
        helper.make_tensor_value_info(made.graph.output[0].name, TensorProto.FLOAT, None)
    )
    made = onnx.shape_inference.infer_shapes(made)
    path = tmp_path / "net.onnx"
    onnx.save(made, path)
    return network_of_model(onnx.load(path), "net"), network_of(import_onnx(path))


def compared(one: Layer) -> dict[str, Any]:
    """Return the facts that rules read."""
    keys = ("kernel", "strides", "pads", "groups", "channels_in", "channels_out", "slope",
            "factors", "coordinates", "reorders", "mode", "alpha", "axis")  # fmt: skip
    found = {key: one.facts[key] for key in keys if key in one.facts}
    padding = one.facts.get("output_padding")
    found["output_padding"] = tuple(padding) if padding and any(padding) else None
    found["dilations"] = tuple(one.facts.get("dilations") or ()) or None
    return found


@pytest.mark.parametrize("one", NODES, ids=lambda one: f"{one.op_type}-{len(one.attribute)}")
def test_both_readers_agree(tmp_path: Path, one: onnx.NodeProto) -> None:
    """Sort, shapes and facts, and so where the layer runs."""
    first, second = both(tmp_path, one)
    left, right = first.layers[0], second.layers[0]
    assert left.sort is right.sort
    assert left.shape == right.shape
    assert left.input_shapes == right.input_shapes
    mine, theirs = compared(left), compared(right)
    shared_keys = {*mine} & {*theirs}
    if left.sort.value.endswith("pool"):
        shared_keys -= {"dilations"}
    for key in sorted(shared_keys):
        assert mine[key] == pytest.approx(theirs[key]), key
    assert {*mine} ^ {*theirs} <= {"channels_in", "channels_out", "groups", "coordinates", "mode"}
    dpu = dpu_named("kv260")
    places = [inspect_network(network, dpu).placements[0].where for network in (first, second)]
    assert places[0] is places[1]


def test_functions_that_no_engine_before_them_applies() -> None:
    """Behind pools and joins: the ALU where it has the function, else the CPU with the reason."""

    def where(*nodes: onnx.NodeProto, part: str = "kv260") -> list[str]:
        found = inspect_network(network_of_model(model([*nodes], CONSTANTS), "net"),
                                dpu_named(part))  # fmt: skip
        last = found.placements[-1]
        return [last.where, last.refusal.reason if last.refusal else last.what]

    pool = node("MaxPool", "x", "a", kernel_shape=[2, 2])
    conv, join = node("Conv", "x w", "a"), node("Concat", "a a", "j", axis=1)
    assert where(pool, node("Relu", "a", "y")) == [Where.DPU, "with a"]
    assert where(pool, node("PRelu", "a p", "y")) == [Where.DPU, "ALU, as a layer of its own"]
    assert where(conv, join, node("Relu", "j", "y")) == [
        Where.CPU, "nothing applies it behind j (Concat)"]  # fmt: skip
    assert where(conv, node("Relu", "a", "b"), node("Relu", "b", "y"))[0] == Where.CPU
    assert where(pool, node("Relu", "a", "y"), part="DPUCAHX8H_ISA2")[0] == Where.CPU
    depthwise = node("Conv", "x dw", "a", group=8)
    assert where(depthwise, node("Clip", "a low six", "y")) == [Where.DPU, "with a"]
    norm = node("BatchNormalization", "x g g g g", "a")
    assert where(norm, node("Relu", "a", "y")) == [Where.DPU, "with a"]
    assert where(conv, node("BatchNormalization", "a g g g g", "n"), node("Relu", "n", "y")) == [
        Where.DPU, "with a"]  # fmt: skip


def test_facts_that_cannot_be_known_are_left_out() -> None:
    """Computed weights, missing axes, attributes that contradict the weights."""

    def facts(one: onnx.NodeProto) -> Layer:
        return network_of_model(model([one], CONSTANTS), "net").layers[0]

    assert "kernel" not in facts(node("Conv", "x x", "y")).facts
    assert facts(node("Conv", "x x", "y", kernel_shape=[3, 3])).facts["channels_in"] == 8
    assert facts(node("Gemm", "x x", "y")).facts == {"computed": True}
    assert facts(node("MatMul", "x x", "y")).sort == "matrix product"
    assert facts(node("MaxPool", "x", "y", strides=[2])).facts["kernel"] == ()
    assert facts(node("ReduceMean", "x", "y")).facts == {}
    assert facts(node("Concat", "x", "y", axis="x")).sort == "unknown operator"
