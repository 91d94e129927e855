"""Our shapes of sound nodes are those that onnx infers; of unsound ones there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, shape_inference
from tests.vitis.inspection.models import model, node, scalar, weights
from tests.vitis.inspection.test_facts import CONSTANTS, NODES

from nibblefit_vitis.inspection.from_onnx import network_of_model
from nibblefit_vitis.inspection.onnx_shapes import Known, output_shapes


def ints(name: str, *values: int) -> onnx.TensorProto:
    """Return an initializer of whole numbers."""
    return numpy_helper.from_array(np.array(values, np.int64), name)


MORE = [
    node("Conv", "x w", "y", pads=[1] * 4, strides=[2, 2]),
    node("ConvTranspose", "x t", "y", strides=[3, 2], dilations=[1, 2], pads=[0, 1, 1, 0]),
    node("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    node("AveragePool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
    node("Reshape", "x whole", "y"),
    node("Reshape", "x kept", "y"),
    node("Flatten", "x", "y", axis=2),
    node("Transpose", "x", "y"),
    node("Squeeze", "x none", "y"),
    node("Unsqueeze", "x ends", "y"),
    node("ReduceMean", "x", "y", axes=[-1], keepdims=0),
    node("ArgMax", "x", "y", axis=1, keepdims=0),
    node("Slice", "x one two axes", "y"),
    node("Slice", "x minus far axes steps", "y"),
    helper.make_node("Split", ["x", "parts"], ["y", "z"], axis=1),
    helper.make_node("Split", ["x"], ["y", "z"], axis=2),
    node("DepthToSpace", "x", "y", blocksize=2),
    node("Resize", "x - - sizes", "y"),
    node("Add", "x g3", "y"),
    node("Where", "cond x s", "y"),
    node("MatMul", "x m", "y"),
    node("Softmax", "x", "y"),
]
VALUES = [
    *CONSTANTS, ints("whole", 1, -1), ints("kept", 0, 0, -1), ints("none", 0), ints("ends", 0, -1),
    ints("one", 1), ints("two", 5), ints("minus", -3), ints("far", 2**31), ints("axes", 2),
    ints("steps", 2), ints("parts", 3, 5), ints("sizes", 1, 8, 5, 7), weights("g3", 8, 1, 1),
    weights("m", 16, 5), scalar("s", 1.0),
    numpy_helper.from_array(np.array([True]), "cond"),
]  # fmt: skip


def inferred(made: onnx.ModelProto) -> list[tuple[int, ...] | None]:
    """Return the shapes of all nodes' first outputs as onnx infers them."""
    del made.graph.output[:]  # its element type would have to be the operator's
    found = shape_inference.infer_shapes(made, strict_mode=True, data_prop=True)
    known = {value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
             for value in (*found.graph.value_info, *found.graph.output)}  # fmt: skip
    return [known.get(each.output[0]) for each in made.graph.node]


@pytest.mark.parametrize("one", [*NODES, *MORE], ids=lambda one: one.op_type)
def test_shapes_are_those_of_onnx(one: onnx.NodeProto) -> None:
    """Every operator with a rule, in the forms that exporters write."""
    ours = network_of_model(model([one], VALUES), "net").layers[0].shape
    (theirs,) = inferred(model([one], VALUES))
    assert theirs is not None
    assert ours == theirs[1:]


def test_an_open_batch_axis_stays_open() -> None:
    """Reshapes keep it, and sizes of everything behind them are known."""
    nodes = [node("Conv", "x w", "c"), node("Reshape", "c kept", "r"), node("MatMul", "r k", "y")]
    keeps = [weights("w", 8, 8, 3, 3), ints("kept", 0, 0, -1), weights("k", 196, 4)]
    made = model(nodes, keeps, ("n", 8, 16, 16))
    assert [one.shape for one in network_of_model(made, "net").layers] == [
        (8, 14, 14), (8, 196), (8, 4)]  # fmt: skip
    flat = [node("GlobalAveragePool", "x", "p"), node("Reshape", "p flat", "y")]
    made = model(flat, [ints("flat", -1, 8)], ("n", 8, 16, 16))
    assert network_of_model(made, "net").layers[1].shape == (8,)


def test_what_a_file_states_counts_where_nothing_follows() -> None:
    """Behind unknown operators the file's own shapes are used; sizes of shapes are no layers."""
    nodes = [node("Fancy", "x", "f", "com.acme"), node("Shape", "x", "s"),
             node("Relu", "f", "y")]  # fmt: skip
    made = model(nodes, [])
    made.graph.value_info.append(
        helper.make_tensor_value_info("f", TensorProto.FLOAT, ["n", 4, 5, 5])
    )
    layers = network_of_model(made, "net").layers
    assert [one.word for one in layers] == ["com.acme.Fancy", "Relu"]
    assert [one.shape for one in layers] == [(4, 5, 5), (4, 5, 5)]


@pytest.mark.parametrize(
    ("word", "shapes", "attributes"),
    [
        ("Conv", ((1, 8, 4, 4), (8, 8, 3, 3)), {"strides": [0, 0]}),
        ("Conv", ((1, 8, 4), (8, 8, 3, 3)), {}),
        ("Conv", ((1, 8, 4, 4), (8, 8, 9, 9)), {}),
        ("Conv", ((1, 8, 4, 4), None), {}),
        ("Conv", (None, (8, 8, 3, 3)), {}),
        ("ConvTranspose", ((1, 8, 4, 4), None), {}),
        ("ConvTranspose", ((1, 8, 4, 4), (8, 8, 3, 3)), {"output_shape": [1, 2]}),
        ("Add", ((1, 3), (1, 4)), {}),
        ("Add", ((1, 3), None), {}),
        ("Gemm", ((1, 3), None), {}),
        ("MatMul", ((3,), (3, 4)), {}),
        ("Concat", ((1, 3), None), {"axis": 1}),
        ("Concat", ((1, 3), (1, 4)), {}),
        ("Pad", ((1, 3, 4, 4),), {"pads": [1, 1]}),
        ("Resize", ((1, 3, 4, 4),), {"scales": [2.0]}),
        ("Reshape", ((1, 3),), {}),
        ("Reshape", ((1, 3),), {"shape": [0, 0, 0]}),
        ("Split", ((1, None),), {"axis": 1}),
        ("Transpose", ((1, 3),), {"perm": [0, 9]}),
        ("DepthToSpace", ((1,),), {"blocksize": 2}),
        ("Flatten", ((1, 3),), {"axis": "x"}),
        ("Unsqueeze", ((1, 3),), {"axes": [1, 1]}),
        ("Bogus", ((1, 3),), {}),
    ],
)
def test_unsound_nodes_have_unknown_shapes(
    word: str, shapes: tuple[Any, ...], attributes: dict[str, Any]
) -> None:
    """Whatever contradicts itself, nothing is raised."""
    known = Known(shapes, (None,) * len(shapes), attributes, 2)
    assert output_shapes(word, known) == [None, None]
