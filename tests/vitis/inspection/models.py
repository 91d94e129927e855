"""Networks to inspect: ONNX models made node by node, also with operators that nobody knows."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def weights(name: str, *shape: int) -> onnx.TensorProto:
    """Return a float initializer."""
    count = int(np.prod(shape))
    values = np.linspace(-1.0, 1.0, count, dtype=np.float32).reshape(shape)
    return numpy_helper.from_array(values, name)


def scalar(name: str, value: float) -> onnx.TensorProto:
    """Return an initializer of one value."""
    return numpy_helper.from_array(np.array(value, np.float32), name)


def node(word: str, inputs: str, output: str, domain: str = "", **more: Any) -> onnx.NodeProto:
    """Return a node named like its output; inputs are separated by blanks, - is one left out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(word, names, [output], name=output, domain=domain, **more)


def model(
    nodes: list[onnx.NodeProto], initializers: list[onnx.TensorProto],
    shape: tuple[int | str, ...] = (1, 8, 16, 16),
) -> onnx.ModelProto:  # fmt: skip
    """Return a model from input ``x`` to the last node's output, whose shape is left open."""
    last = nodes[-1].output[0]
    graph = helper.make_graph(
        nodes, "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)], initializers,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.acme", 1)]
    return helper.make_model(graph, opset_imports=opsets)
