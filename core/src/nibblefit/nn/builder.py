"""Grow a graph node by node; shapes come from shape inference at each step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.ir.graph import FloatConstant, Graph, Node, Shape, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.shapes import infer_shapes
from nibblefit.nn.names import FIXED, Names


class GraphBuilder:
    """Collects inputs, constants and nodes under unique names."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.shapes: dict[str, Shape] = {}
        self.constants: dict[str, FloatConstant] = {}
        self._names = Names()
        self._inputs: list[str] = []
        self._nodes: list[Node] = []

    def reserve(self, names: Iterable[str]) -> None:
        """Keep names for constants that are added later, so that no node takes them."""
        for name in names:
            self._names.claim(name)

    def add_input(self, wanted: str, shape: Shape) -> str:
        """Add an input tensor and return its name."""
        name = self._names.claim(wanted)
        self._inputs.append(name)
        self.shapes[name] = tuple(int(size) for size in shape)
        return name

    def add_constant(
        self, wanted: str, value: npt.ArrayLike, *, fixed: bool = False, reserved: bool = False,
        owned: bool = False,
    ) -> str:  # fmt: skip
        """Add a constant and return its name, which ends in ``:fixed`` if it is not trained.

        Args:
            wanted: Its name, made unique unless it was reserved before.
            value: Kept as float32 where that is exact.
            fixed: Not trained.
            reserved: The name was given to `reserve` for this constant.
            owned: `value` is a read-only array that nobody else writes to: it is not copied.
        """
        if fixed and not wanted.endswith(FIXED):
            wanted += FIXED
        name = wanted if reserved else self._names.claim(wanted)
        self.constants[name] = np.asarray(value) if owned else frozen(value)
        return name

    def add(
        self, op: Op, inputs: Sequence[str], wanted: str, *, source: str = "", **attributes: Any
    ) -> str:
        """Add a node with one output and return the tensor's name, which is the node's.

        Raises:
            GraphError: The inputs or attributes do not fit the operator.
        """
        (shape,) = infer_shapes(op, attributes, [self.shape_of(name) for name in inputs])
        name = self._names.claim(wanted)
        node = Node(name, op, tuple(inputs), (name,), frozen_mapping(attributes), source or name)
        self._nodes.append(node)
        self.shapes[name] = shape
        return name

    def add_split(
        self, x: str, axis: int, sizes: Sequence[int], wanted: str, *, source: str = ""
    ) -> tuple[str, ...]:
        """Add a SPLIT and return its tensors, called ``node:0``, ``node:1`` …"""
        attributes = {"axis": axis, "sizes": tuple(int(size) for size in sizes)}
        shapes = infer_shapes(Op.SPLIT, attributes, [self.shape_of(x)])
        name = self._names.claim(wanted)
        outputs = tuple(self._names.claim(f"{name}:{i}") for i in range(len(shapes)))
        node = Node(name, Op.SPLIT, (x,), outputs, frozen_mapping(attributes), source or name)
        self._nodes.append(node)
        self.shapes.update(zip(outputs, shapes))
        return outputs

    def producer(self, name: str) -> Node | None:
        """Return the node that makes a tensor, None for inputs and constants."""
        return next((node for node in reversed(self._nodes) if name in node.outputs), None)

    def shape_of(self, name: str) -> Shape:
        """Return the shape of a tensor (without batch axis) or of a constant."""
        if name in self.shapes:
            return self.shapes[name]
        return tuple(self.constants[name].shape)

    def finish(self, outputs: Sequence[str]) -> Graph:
        """Return the graph without dead nodes; every output is a tensor of its own.

        An output that is an input, or that is listed twice, gets an IDENTITY node.
        """
        finals: list[str] = []
        for name in outputs:
            if name in self._inputs or name in finals:
                name = self.add(Op.IDENTITY, [name], f"{name}.output")  # noqa: PLW2901
            finals.append(name)
        nodes = _live(self._nodes, finals)
        used = {name for node in nodes for name in node.inputs}
        made = {name for node in nodes for name in node.outputs}
        return Graph(
            name=self.name,
            inputs=tuple(self._inputs),
            outputs=tuple(finals),
            nodes=nodes,
            shapes=frozen_mapping(
                {n: s for n, s in self.shapes.items() if n in made or n in self._inputs}
            ),
            constants=frozen_mapping({n: v for n, v in self.constants.items() if n in used}),
        )


def _live(nodes: Sequence[Node], outputs: Sequence[str]) -> tuple[Node, ...]:
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    return tuple(reversed(kept))


def frozen(value: npt.ArrayLike) -> FloatConstant:
    """Return a read-only copy: float32 if every value survives that, else float64."""
    if isinstance(value, np.ndarray) and value.dtype == np.float32:
        copied: FloatConstant = value.copy()
        copied.flags.writeable = False
        return copied
    exact = np.asarray(value, dtype=np.float64)
    with np.errstate(over="ignore"):
        single = exact.astype(np.float32)
    same = single == exact
    lossless = bool(same.all()) or bool((same | (np.isnan(single) & np.isnan(exact))).all())
    array: FloatConstant = single if lossless else exact.copy()
    array.flags.writeable = False
    return array
