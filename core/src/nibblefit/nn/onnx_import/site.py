"""One ONNX node, as its handler sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx

from nibblefit.ir.graph import Shape
from nibblefit.ir.ops import Op
from nibblefit.nn.integers import Word
from nibblefit.nn.names import FIXED
from nibblefit.nn.problems import Refused

if TYPE_CHECKING:
    from nibblefit.nn.onnx_import.importer import Importer

Array: TypeAlias = npt.NDArray[Any]
#: Returns the names of the node's results.
Handler: TypeAlias = Callable[["Site"], str | Sequence[str]]

_BATCH_HINT = "keep axis 0 as it is; every sample must be computed on its own"


class Site:
    """An ONNX node with at least one activation among its inputs.

    Attributes:
        node: The node itself.
        opset: Version of the operator set.
        batch: Number that stands for the batch size in shapes.
    """

    def __init__(self, importer: Importer, node: onnx.NodeProto, name: str) -> None:
        self._importer = importer
        self._name = name
        self._attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        self.node = node
        self.opset = importer.opset
        self.batch = importer.batch

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return an attribute, text decoded, or `default`."""
        value = self._attributes.get(name, default)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    def has(self, index: int) -> bool:
        """Return whether an input is given."""
        return index < len(self.node.input) and bool(self.node.input[index])

    def is_activation(self, index: int) -> bool:
        """Return whether an input is computed from the network's inputs."""
        return self.has(index) and isinstance(self._value(index), str)

    def _value(self, index: int) -> str | Array:
        value = self._importer.values[self.node.input[index]]
        if isinstance(value, Word):
            raise Refused("it reads whole numbers", "multiply words by their step first")
        return value

    def activation(self, index: int = 0) -> str:
        """Return the name of an activation."""
        value = self._value(index)
        if not isinstance(value, str):
            raise Refused(f"input {index} is a constant where an activation is expected")
        return value

    def array(self, index: int, what: str) -> Array:
        """Return the values of a constant input."""
        value = self._value(index)
        if isinstance(value, str):
            raise Refused(f"its {what} is computed from the input", "use constants there")
        return value

    def ints(self, index: int, attribute: str, default: Sequence[int] | None = None) -> Any:
        """Return integers that older opsets keep in an attribute and newer ones in an input."""
        if self.has(index):
            return tuple(int(v) for v in self.array(index, attribute).reshape(-1))
        found = self.attribute(attribute, default)
        return None if found is None else tuple(int(v) for v in found)

    def weight(
        self, index: int, what: str, *, form: str = "", fixed: bool = False,
        change: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]] | None = None,
    ) -> str:  # fmt: skip
        """Return the constant of a weight, bias or slope, in the graph's layout.

        Args:
            index: Which input.
            what: Its role, for names and messages.
            form: Name of the layout that `change` makes, so that layouts stay apart.
            fixed: Not trained.
            change: Turns ONNX's layout into the graph's.
        """
        value = self.array(index, what).astype(np.float64)
        name = self.node.input[index]
        if change is not None:
            value = change(value)
        return self._importer.constant(name, value, f"{self._name}.{what}", form, fixed)

    def number(self, value: npt.ArrayLike, word: str = "value") -> str:
        """Return a fixed constant that the file does not have under a name of its own."""
        return self._importer.builder.add_constant(f"{self._name}.{word}", value, fixed=True)

    def operand(self, index: int) -> str:
        """Return an operand of an elementwise operation, constants without batch axis."""
        if self.is_activation(index):
            return self.activation(index)
        rank = max(
            len(self.shape(i)) + 1 for i in range(len(self.node.input)) if self.is_activation(i)
        )

        def without_batch(value: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            if value.ndim > rank or (value.ndim == rank and value.shape[0] != 1):
                raise Refused(f"a constant of shape {value.shape} has a batch axis", _BATCH_HINT)
            return value[0] if value.ndim == rank else value

        trusted = self._importer.is_own and not self.node.input[index].endswith(FIXED)
        return self.weight(index, "value", fixed=not trusted, change=without_batch)

    def add(self, op: Op, inputs: Sequence[str], *, part: str = "", **attributes: Any) -> str:
        """Add a node and return its tensor; `part` names a step on the way to the result."""
        wanted = f"{self._name}.{part}" if part else self._name
        return self._importer.builder.add(op, inputs, wanted, source=self._source(), **attributes)

    def _source(self) -> str:
        """Return the module path that our own exporter noted, else the node's name in the file."""
        noted = self.node.doc_string if self._importer.is_own else ""
        return noted or self.node.name or self._name

    def add_split(self, x: str, axis: int, sizes: Sequence[int]) -> tuple[str, ...]:
        """Add a SPLIT and return its tensors."""
        return self._importer.builder.add_split(x, axis, sizes, self._name, source=self._source())

    def shape(self, index: int = 0) -> Shape:
        """Return an input's shape without batch axis."""
        return self._importer.builder.shape_of(self.activation(index))

    def shape_of(self, name: str) -> Shape:
        """Return the shape of a tensor made on the way."""
        return self._importer.builder.shape_of(name)

    def axis(self, axis: int, rank: int | None = None) -> int:
        """Return a non-negative axis; the batch axis is refused."""
        rank = len(self.shape()) + 1 if rank is None else rank
        index = axis + rank if axis < 0 else axis
        if index == 0:
            raise Refused("it works across the batch axis", _BATCH_HINT)
        if not 0 < index < rank:
            raise Refused(f"axis {axis} does not exist in a tensor with {rank} axes")
        return index

    def is_only_scaled(self, index: int) -> bool:
        """Return whether everyone who reads an output is elementwise, so broadcasts by itself."""
        readers = self._importer.readers.get(self.node.output[index], [])
        return bool(readers) and set(readers) <= {"Add", "Sub", "Mul", "Div"}
