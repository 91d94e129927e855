"""The network that is being read: nodes, shapes, constants and formats so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.errors import InputError, UnsupportedError
from nibblefit.ir.graph import Node, Shape, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit_vitis.formats import FixPosition, TensorFormat
from nibblefit_vitis.xir.graph import XirGraph, XirOperator
from nibblefit_vitis.xir.importing.macros import macros
from nibblefit_vitis.xir.importing.names import OurNames
from nibblefit_vitis.xir.importing.views import View, image_axes, shape_from

Array = npt.NDArray[np.float32]


class Assembly:
    """Collects a network of ours.

    Attributes:
        file: Name of the file, for errors.
        names: Ours for XIR's operators; others keep XIR's name.
        nodes, shapes, constants: Of the network.
        params, outputs, extra: Formats of parameters, tensors and single layers' inputs.
        views: XIR operator → what it makes.
        loose: XIR constants by operator.
        fixes: Formats of XIR constants, by the ``fix`` behind them.
        sources: XIR constant behind each such ``fix``.
        macros: Layers of several operators, by the last one.
        flattened: Shape of the image (ours) whose values, channels last, a vector of XIR's is; by
            the operator that makes the vector.
    """

    def __init__(self, file: str, names: OurNames, xir: XirGraph) -> None:
        self.file, self.names = file, names
        self._operators = {operator.name: operator for operator in xir.operators}
        self._readers: dict[str, list[XirOperator]] = {op.name: [] for op in xir.operators}
        for operator in xir.operators:
            for name in dict.fromkeys(n for names in operator.arguments.values() for n in names):
                self._readers[name].append(operator)
        self.inputs: list[str] = []
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {}
        self.constants: dict[str, Array] = {}
        self.params: dict[str, TensorFormat | None] = {}
        self.outputs: dict[str, TensorFormat | None] = {}
        self.extra: dict[str, TensorFormat | None] = {}
        self.views: dict[str, View] = {}
        self.loose: dict[str, Array] = {}
        self.fixes: dict[str, FixPosition] = {}
        self.sources: dict[str, str] = {}
        self.macros = macros(xir)
        self.flattened: dict[str, Shape] = {}

    def name_of(self, operator: str) -> str:
        """Return the name of ours for an XIR operator; a constant's stands before its ``fix``."""
        operator = self.sources.get(operator, operator)
        return self.names.tensors.get(operator, operator)

    def readers(self, operator: str) -> list[XirOperator]:
        """Return the operators that read one."""
        return self._readers[operator]

    def is_constant(self, operator: str) -> bool:
        """Return whether an operator makes a constant, rounded or not."""
        found = self._operators.get(operator)
        if found is not None and found.kind == "fix":
            found = self._operators.get(next(iter(found.arguments.get("input", ())), ""))
        return found is not None and found.kind == "const"

    def unread(self) -> list[str]:
        """Return the tensors that nothing reads: the outputs of the network."""
        return [name for name, readers in self._readers.items()
                if not readers and name in self.views]  # fmt: skip

    def layer_of(self, operator: XirOperator) -> str:
        """Return the name of the layer that an operator belongs to."""
        for end, macro in self.macros.items():
            if operator.name in macro.inner:
                return self._layer(end)
        return self._layer(operator.name)

    def _layer(self, operator: str) -> str:
        return self.names.layers.get(operator, self.name_of(operator))

    def view(self, operator: XirOperator, index: int = 0, argument: str = "input") -> View:
        """Return an operand that is a tensor."""
        given = self.operand(operator, index, argument)
        if given not in self.views:
            raise self.refused(operator, f"its {argument} '{given}' is a constant")
        return self.views[given]

    def operand(self, operator: XirOperator, index: int = 0, argument: str = "input") -> str:
        """Return the operator behind an argument."""
        found = operator.arguments.get(argument, ())
        if index >= len(found):
            raise self.refused(operator, f"it has no {argument} {index}")
        return found[index]

    def add_input(self, name: str, seen: Shape, operator: XirOperator) -> None:
        """Add a network input, batch 1."""
        if not seen or seen[0] != 1:
            raise self.refused(operator, f"its batch is {seen[0] if seen else 'missing'}, not 1")
        self.inputs.append(name)
        self.shapes[name] = shape_from(seen)[1:]
        self.views[operator.name] = View(name, shape_from(seen), image_axes(len(seen)))

    def add(self, operator: XirOperator, op: Op, inputs: tuple[str, ...], shape: Shape,
            attributes: Mapping[str, Any] | None = None, *,
            axes: tuple[int, ...] | None = None) -> View:  # fmt: skip
        """Add a node whose output, `shape` with batch axis, is what an operator makes."""
        made, layer = self.name_of(operator.name), self._layer(operator.name)
        self.nodes.append(Node(layer, op, inputs, (made,), frozen_mapping(attributes or {})))
        self.shapes[made] = shape[1:]
        view = View(made, shape, image_axes(len(shape)) if axes is None else axes)
        if view.seen != operator.tensor.shape:
            raise self.refused(operator, f"its shape {operator.tensor.shape} does not follow from "
                                         f"its inputs, which give {view.seen}")  # fmt: skip
        self.views[operator.name] = view
        return view

    def usual(self, operator: XirOperator, index: int = 0) -> View:
        """Return an operand as XIR's operators take it, through a transposition if need be."""
        view = self.view(operator, index)
        axes = image_axes(len(view.shape))
        return view if view.axes == axes else self.settled(view, axes)

    def straight(self, view: View) -> View:
        """Return a view whose elements lie in our order."""
        plain = tuple(range(len(view.shape)))
        return view if view.runs_straight else self.settled(view, plain)

    def settled(self, view: View, axes: tuple[int, ...], operator: str = "") -> View:
        """Return the same XIR tensor as a view with other axes of another tensor of ours.

        The latter is that of an XIR operator, or one that XIR does not have.
        """
        perm = tuple(view.axes[axes.index(axis)] for axis in range(len(axes)))
        if perm[0] != 0:
            raise UnsupportedError(f"{self.file}: the batch axis of '{view.tensor}' is moved",
                                   hint="leave the batch axis in front")  # fmt: skip
        name = self.name_of(operator) if operator else self._fresh(f"{view.tensor}_t")
        layer = self._layer(operator) if operator else name
        shape = tuple(view.shape[axis] for axis in perm)
        self.nodes.append(
            Node(layer, Op.TRANSPOSE, (view.tensor,), (name,), frozen_mapping({"perm": perm}))
        )
        self.shapes[name] = shape[1:]
        return View(name, shape, axes)

    def constant(self, operator: str, array: Array) -> str:
        """Enter a constant in our arrangement under its name, once."""
        made = self.name_of(operator)
        array = np.ascontiguousarray(array)
        array.flags.writeable = False
        if made in self.constants and not np.array_equal(self.constants[made], array):
            made = self._fresh(made)
        self.constants[made] = array
        if operator in self.fixes:
            self.params[made] = self.fixes[operator]
        return made

    def _fresh(self, wanted: str) -> str:
        name, use = wanted, 1
        while name in self.shapes or name in self.constants:
            use += 1
            name = f"{wanted}_{use}"
        return name

    def refused(self, operator: XirOperator, reason: str) -> InputError:
        """Return the error for an operator that does not fit."""
        return InputError(f"{self.file}: operator '{operator.name}' ({operator.kind}): {reason}",
                          hint="give a quantized xmodel, as an exporter wrote it")  # fmt: skip
