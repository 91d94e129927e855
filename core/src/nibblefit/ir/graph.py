"""The canonical float graph: what every network becomes, whichever way it came in.

A graph is a value. Nodes are in topological order, tensors are named, weights are constants.
Shapes never contain the batch axis (any batch size goes through), axis numbers do count it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nibblefit.ir.ops import Op

Shape: TypeAlias = tuple[int, ...]
#: Attributes hold JSON-like values: None, bool, int, float, str and tuples of them.
Attributes: TypeAlias = Mapping[str, Any]
FloatConstant: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64]


def frozen_mapping(items: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> Mapping[str, Any]:
    """Return a read-only copy that keeps the order of `items`."""
    return MappingProxyType(dict(items))


@dataclass(frozen=True, slots=True)
class Node:
    """One operation.

    Attributes:
        name: Unique in the graph; readable, stable between runs (a module path where there is
            one). Used in recipes, reports and errors.
        op: The operator.
        inputs: Names of tensors or constants, in the operator's order.
        outputs: Names of the tensors it makes; nearly always one, named like the node.
        attributes: See `nibblefit.ir.ops` for each operator's keys.
        source: Where the user finds it: module path or ONNX node name, empty for inserted nodes.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Attributes = field(default_factory=frozen_mapping)
    source: str = ""

    @property
    def output(self) -> str:
        """Name of the first output."""
        return self.outputs[0]

    def __reduce__(self) -> tuple[object, ...]:
        # mappingproxy does not pickle; spawned workers receive graphs by value.
        fields = (self.name, self.op, self.inputs, self.outputs, dict(self.attributes), self.source)
        return (_make_node, fields)


def _make_node(name: str, op: Op, inputs: tuple[str, ...], outputs: tuple[str, ...],  # noqa: PLR0917
               attributes: dict[str, Any], source: str) -> Node:  # fmt: skip
    return Node(name, op, inputs, outputs, frozen_mapping(attributes), source)


@dataclass(frozen=True, slots=True)
class Graph:
    """A float network.

    Attributes:
        name: Name of the network.
        inputs: Names of the input tensors.
        outputs: Names of the output tensors.
        nodes: In topological order.
        shapes: Shape of every tensor that is not a constant, without batch axis.
        constants: Weights and other constants, read-only float32 (or float64 while computing).
            Two nodes that share a module share the constant's name.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    shapes: Mapping[str, Shape]
    constants: Mapping[str, FloatConstant]

    def node(self, name: str) -> Node:
        """Return the node called `name`; raises KeyError."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def producers(self) -> dict[str, Node]:
        """Map every tensor made by a node to that node."""
        return {output: node for node in self.nodes for output in node.outputs}

    def consumers(self) -> dict[str, list[Node]]:
        """Map every tensor and constant to the nodes that read it (empty list if none)."""
        found: dict[str, list[Node]] = {name: [] for name in (*self.shapes, *self.constants)}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found.setdefault(name, []).append(node)
        return found

    def last_uses(self) -> list[list[str]]:
        """Return, for every node, the tensors that nobody needs after it; outputs are needed."""
        last: dict[str, int] = {}
        for position, node in enumerate(self.nodes):
            last.update(dict.fromkeys((*node.inputs, *node.outputs), position))
        freed: list[list[str]] = [[] for _ in self.nodes]
        for name, position in last.items():
            if name not in self.outputs and name not in self.constants:
                freed[position].append(name)
        return freed

    def with_constants(self, constants: Mapping[str, FloatConstant]) -> Graph:
        """Return the same network with other values for some or all constants."""
        return replace(self, constants=frozen_mapping({**self.constants, **constants}))

    def __reduce__(self) -> tuple[object, ...]:
        return (_make_graph, (self.name, self.inputs, self.outputs, self.nodes,
                              dict(self.shapes), dict(self.constants)))  # fmt: skip


def _make_graph(name: str, inputs: tuple[str, ...], outputs: tuple[str, ...],  # noqa: PLR0917
                nodes: tuple[Node, ...], shapes: dict[str, Shape],
                constants: dict[str, FloatConstant]) -> Graph:  # fmt: skip
    return Graph(name, inputs, outputs, nodes, frozen_mapping(shapes), frozen_mapping(constants))
