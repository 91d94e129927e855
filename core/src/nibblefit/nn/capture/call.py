"""One recorded call, as its handler sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from nibblefit.ir.graph import Shape
from nibblefit.ir.ops import Op
from nibblefit.nn.capture.weights import Values
from nibblefit.nn.problems import Refused

if TYPE_CHECKING:
    from nibblefit.nn.capture.recorder import Recorder

#: Takes the call and the function's own arguments; returns the names of its results.
Handler: TypeAlias = Callable[..., str | Sequence[str]]

_NO_WEIGHT = "a layer's weights must not depend on the input"
_BATCH_HINT = "keep axis 0 as it is; every sample must be computed on its own"


class Call:
    """A call of a torch function with at least one activation among its arguments.

    Attributes:
        result: What torch returned; shapes are read from here, values never.
    """

    def __init__(self, recorder: Recorder, path: str, is_layer: bool, result: Any) -> None:
        self._recorder = recorder
        self._path = path
        self._is_layer = is_layer
        self.result = result

    def add(self, op: Op, inputs: Sequence[str], *, part: str = "", **attributes: Any) -> str:
        """Add a node and return its tensor; `part` names a step on the way to the result."""
        wanted = self._wanted(op, part)
        return self._recorder.builder.add(op, inputs, wanted, source=self._path, **attributes)

    def add_split(self, x: str, axis: int, sizes: Sequence[int]) -> tuple[str, ...]:
        """Add a SPLIT and return its tensors."""
        return self._recorder.builder.add_split(
            x, axis, sizes, self._wanted(Op.SPLIT, ""), source=self._path
        )

    def _wanted(self, op: Op, part: str) -> str:
        if self._is_layer and self._path:
            return f"{self._path}.{part}" if part else self._path
        return self.inside(part or op.value)

    def inside(self, word: str) -> str:
        """Return a name below the running module's path."""
        return f"{self._path}.{word}" if self._path else word

    def is_activation(self, value: object) -> bool:
        """Return whether `value` is a tensor computed from the network's inputs."""
        return self._recorder.name_of(value) is not None

    def activation(self, value: object) -> str:
        """Return the name of an activation of the size torch sees.

        Raises:
            Refused: It is a constant, or merely expanded.
        """
        name = self._recorder.name_of(value)
        if name is None or not isinstance(value, Tensor):
            raise Refused("it expects an activation where it gets a constant")
        if tuple(value.shape[1:]) != self.shape(name):
            raise Refused(
                "it needs an expanded activation in full size",
                "only elementwise operations may use expanded tensors, as they broadcast anyway",
            )
        return name

    def operand(self, value: object, rank: int) -> str:
        """Return an operand of an elementwise operation: activation, constant or number.

        Args:
            value: The operand.
            rank: Axes of the other operand, batch axis counted.
        """
        name = self._recorder.name_of(value)
        if name is not None and isinstance(value, Tensor):
            if value.dim() != rank:
                raise Refused(
                    f"it combines activations with {value.dim()} and {rank} axes",
                    "reshape one of them so that both have the same number of axes",
                )
            return name
        if isinstance(value, Tensor):
            array = self._without_batch(self._recorder.weights.values(value), rank)
            fixed = None if self._recorder.weights.is_registered(value) else True
            return self._enter(value, array, "value", fixed=fixed)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Refused(f"an operand is {type(value).__name__}; expected a tensor or a number")
        return self.number(float(value))

    def number(self, value: float | npt.NDArray[np.float64], word: str = "value") -> str:
        """Return a fixed constant made from a number or an array."""
        builder = self._recorder.builder
        return builder.add_constant(self.inside(word), value, fixed=True)

    def _without_batch(self, array: Values, rank: int) -> Values:
        if array.ndim > rank:
            raise Refused(f"a constant of shape {array.shape} has more axes than the activation")
        if array.ndim < rank:
            return array
        if array.shape[0] != 1 and (array != array[:1]).any():
            raise Refused(
                f"a constant of shape {array.shape} differs along the batch axis", _BATCH_HINT
            )
        first: Values = array[0]
        return first

    def weight(
        self, value: object, word: str, *, transposed: bool = False, fixed: bool | None = None
    ) -> str:
        """Return the constant behind a layer's weight, bias or slope."""
        if not isinstance(value, Tensor) or self.is_activation(value):
            raise Refused(f"its {word} is computed from the input", _NO_WEIGHT)
        array = self._recorder.weights.values(value)
        form = "transposed" if transposed else ""
        return self._enter(value, array.T if transposed else array, word, form=form, fixed=fixed)

    def _enter(
        self, tensor: Tensor, value: Values, word: str, *, form: str = "",
        fixed: bool | None = None,
    ) -> str:  # fmt: skip
        otherwise = self.inside(word)
        return self._recorder.weights.enter(tensor, value, otherwise, form=form, fixed=fixed)

    def shape(self, name: str) -> Shape:
        """Return an activation's shape without batch axis."""
        return self._recorder.builder.shape_of(name)

    def axis(self, value: Tensor, axis: object, *, rank: int | None = None) -> int:
        """Return a non-negative axis; the batch axis is refused."""
        rank = value.dim() if rank is None else rank
        if isinstance(axis, bool) or not isinstance(axis, int):
            raise Refused(f"its axis is {axis!r}; expected an integer")
        index = axis + rank if axis < 0 else axis
        if index == 0:
            raise Refused("it works across the batch axis", _BATCH_HINT)
        return index
