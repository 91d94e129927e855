"""ONNX models made by hand, for any opset."""

# The order of arguments follows the table of cases.
# ruff: noqa: PLR0917

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model(nodes, constants, shape, output_rank, opset=17, batch="N"):
    """Return a model with one input x and one output y."""
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * output_rank)],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets)
    )


def saved(folder: Path, proto: onnx.ModelProto) -> Path:
    """Write a model and return its path."""
    path = folder / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def node(kind, inputs, outputs="y", **attributes):
    """Return a node; names are given as space-separated text, - is an absent input."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(kind, names, outputs.split(), **attributes)
