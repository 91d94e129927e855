"""Collects ONNX nodes and initializers under the names of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Graph, Node, Shape


class Writer:
    """What the emitters of single operators write to.

    Attributes:
        graph: The graph being exported.
        opset: Operator set to write.
    """

    def __init__(self, graph: Graph, opset: int) -> None:
        self.graph = graph
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self._taken = {*graph.shapes, *graph.constants}
        self._taken.update(node.name for node in graph.nodes)

    def constant(self, name: str) -> str:
        """Write a constant of the graph as it is and return its name."""
        if name not in self.initializers:
            self._initialize(name, self.graph.constants[name].astype(np.float32))
        return name

    def reshaped(self, name: str, shape: Shape) -> str:
        """Write a constant of the graph in another shape; its name stays."""
        value = self.graph.constants[name].astype(np.float32).reshape(shape)
        if name in self.initializers:
            if tuple(self.initializers[name].dims) == shape:
                return name
            return self.literal(f"{name}:{'x'.join(map(str, shape))}", value)
        self._initialize(name, value)
        return name

    def values(self, node: Node) -> list[str]:
        """Return the node's inputs, constants written."""
        return [self.constant(n) if n in self.graph.constants else n for n in node.inputs]

    def literal(self, wanted: str, value: npt.ArrayLike) -> str:
        """Write a constant that the graph does not have and return its name."""
        name = self.fresh(wanted)
        array = np.asarray(value)
        kind = np.float32 if array.dtype.kind == "f" else np.int64
        self._initialize(name, array.astype(kind))
        return name

    def _initialize(self, name: str, value: npt.NDArray[Any]) -> None:
        self.initializers[name] = numpy_helper.from_array(np.array(value, order="C"), name)

    def fresh(self, wanted: str) -> str:
        """Return a name that nothing has yet."""
        name, use = wanted, 1
        while name in self._taken:
            use += 1
            name = f"{wanted}@{use}"
        self._taken.add(name)
        return name

    def emit(
        self, kind: str, inputs: Sequence[str], node: Node, *, part: str = "", **attributes: Any
    ) -> str:
        """Write an ONNX node and return its output.

        With `part` it is a step on the way and its output a new tensor; without, it makes the
        outputs of `node`.
        """
        name = self.fresh(f"{node.name}.{part}") if part else node.name
        outputs = (name,) if part else node.outputs
        given = {key: value for key, value in attributes.items() if value is not None}
        if not part and node.source != node.name:
            given["doc_string"] = node.source  # where the user finds it, for a later import
        self.nodes.append(helper.make_node(kind, list(inputs), list(outputs), name=name, **given))
        return outputs[0]

    def refuse(self, node: Node, reason: str, hint: str) -> UnsupportedError:
        """Return the error for a node that this opset cannot express."""
        return UnsupportedError(
            f"layer '{node.name}' ({node.op.value}) cannot be written as ONNX: {reason}", hint=hint
        )
