"""A short way to write quantized and float graphs in tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from nibblefit.fixed.formats import Accumulator, Format
from nibblefit.fixed.steps import Steps
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode, QuantizedTensor
from nibblefit.ir.shapes import infer_shapes

WIDE = Format(64)
INT8 = Format(8)


class Quantized:
    """Collects tensors and nodes of a quantized graph; shapes are inferred."""

    def __init__(self, name: str = "net") -> None:
        self.name = name
        self.inputs: list[str] = []
        self.nodes: list[QuantizedNode] = []
        self.tensors: dict[str, QuantizedTensor] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.states: dict[str, np.ndarray] = {}

    def input(self, name: str, shape: tuple[int, ...], fmt: Format = INT8) -> str:
        self.inputs.append(name)
        self.tensors[name] = QuantizedTensor(name, shape, fmt)
        return name

    def constant(self, name: str, values: Any, fmt: Format = WIDE) -> str:
        array = np.array(values, dtype=np.int64)
        array.flags.writeable = False
        self.constants[name] = array
        self.tensors[name] = QuantizedTensor(name, array.shape, fmt)
        return name

    def node(
        self, op: Op, inputs: list[str], name: str, fmt: Format = WIDE, *,
        attributes: dict[str, Any] | None = None, input_steps: tuple[Steps, ...] = (),
        steps: Steps = (), accumulator: Accumulator | None = None, layer: str = "",
        outputs: tuple[str, ...] = (),
    ) -> str:  # fmt: skip
        attributes = attributes or {}
        outputs = outputs or (name,)
        shapes = infer_shapes(op, attributes, [self.tensors[i].shape for i in inputs])
        for output, shape in zip(outputs, shapes, strict=True):
            self.tensors[output] = QuantizedTensor(output, shape, fmt)
        self.nodes.append(
            QuantizedNode(
                name, op, tuple(inputs), outputs, frozen_mapping(attributes), input_steps, steps,
                accumulator, layer=layer,
            )
        )  # fmt: skip
        return outputs[0]

    def graph(self, *outputs: str, **fields: Any) -> QuantizedGraph:
        return QuantizedGraph(
            self.name, "test", tuple(self.inputs), outputs or self.nodes[-1].outputs,
            tuple(self.nodes), frozen_mapping(self.tensors), frozen_mapping(self.constants),
            frozen_mapping(self.states), **fields,
        )  # fmt: skip


class Float:
    """Collects nodes of a float graph; shapes are inferred."""

    def __init__(self) -> None:
        self.inputs: list[str] = []
        self.nodes: list[Node] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.constants: dict[str, np.ndarray] = {}

    def input(self, name: str, shape: tuple[int, ...]) -> str:
        self.inputs.append(name)
        self.shapes[name] = shape
        return name

    def constant(self, name: str, values: Any) -> str:
        self.constants[name] = np.array(values, dtype=np.float64)
        return name

    def node(self, op: Op, inputs: list[str], name: str, outputs=(), **attributes: Any) -> str:
        known = {**self.shapes, **{n: c.shape for n, c in self.constants.items()}}
        shapes = infer_shapes(op, attributes, [known[i] for i in inputs])
        outputs = outputs or (name,)
        self.shapes.update(zip(outputs, shapes, strict=True))
        self.nodes.append(Node(name, op, tuple(inputs), outputs, frozen_mapping(attributes)))
        return outputs[0]

    def graph(self, *outputs: str) -> Graph:
        return Graph(
            "net", tuple(self.inputs), outputs or self.nodes[-1].outputs, tuple(self.nodes),
            frozen_mapping(self.shapes), frozen_mapping(self.constants),
        )  # fmt: skip
