"""A forward pass that follows shapes and computes no activation.

What depends on the input is a meta tensor, which has a shape and no values; all else is computed
as ever, since it becomes a constant of the graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from nibblefit.nn.capture.convolved import AXES, arguments_of, shape_of
from nibblefit.nn.capture.functions import function_name
from nibblefit.nn.capture.kept import Kept
from nibblefit.nn.capture.refusal import READS_VALUES
from nibblefit.nn.capture.shape_rules import result_of
from nibblefit.nn.capture.tensors import tensors_in
from nibblefit.nn.capture.widths import Evaluate

#: Fresh tensors whose values do not depend on the activation they are shaped after.
MAKES_CONSTANT = frozenset({
    "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "new_tensor",
})  # fmt: skip
_CPU = torch.device("cpu")
#: What code may ask about the place of an activation: the answers of the real one.
_PLACE: dict[str, Any] = {".device": _CPU, ".is_meta": False, ".is_cpu": True, "get_device": -1}
#: What looks at the memory of a tensor.
_LOOKS_INSIDE = READS_VALUES | {
    "data_ptr", "untyped_storage", "storage", "typed_storage", "dlpack", "repr", "format",
    "array_interface", "reduce_ex", "deepcopy",
}  # fmt: skip
#: Methods that convert, named like what Python calls to read a value: ``x.float()``, ``float(x)``.
_CONVERSIONS = frozenset({"float", "int", "bool"})


class ShapesOnly:
    """Computes calls of a network whose inputs are meta tensors.

    Args:
        kept: Weights that stay in float32.
        otherwise: Computes the calls that no activation takes part in.
    """

    def __init__(self, kept: Kept, otherwise: Evaluate) -> None:
        self._kept = kept
        self._otherwise = otherwise

    def __call__(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Return the result of a call.

        Raises:
            LongWayError: It depends on values.
        """
        if not any(t.is_meta for t in tensors_in((args, kwargs))):
            return self._otherwise(func, args, kwargs)
        name = function_name(func)
        if name in _LOOKS_INSIDE and (name not in _CONVERSIONS or func.__name__ != name):
            raise self._kept.lost(f"{name} looks at the values of an activation")
        if name in _PLACE:
            return _PLACE[name]
        if name in MAKES_CONSTANT:
            return func(*args, **{"device": _CPU, **kwargs})
        if func in AXES:
            shape = shape_of(arguments_of(args, kwargs), AXES[func])
            if shape is not None:
                return torch.empty(shape, dtype=torch.float64, device="meta")
        ruled = result_of(func, name, args, kwargs)
        if ruled is not None and not ruled[1]:
            return torch.empty(ruled[0], dtype=torch.float64, device="meta")
        if ruled is not None:
            increment_version(args[0])
            return args[0]
        return self._on_meta(func, name, args, kwargs)

    def _on_meta(self, func: Callable[..., Any], name: str, args: Any, kwargs: Any) -> Any:
        """Call a function with all tensors on the meta device."""
        if name == "to":
            args = tuple(a for a in args if not isinstance(a, torch.device))
            kwargs = {key: value for key, value in kwargs.items() if key != "device"}
        made: list[Tensor] = []
        result = func(*self._without_values(args, made), **self._without_values(kwargs, made))
        if any(t._version for t in made):  # noqa: SLF001 - the only way to see changes in place
            raise self._kept.lost(f"{name} changes a constant")
        return result

    def _without_values(self, value: Any, made: list[Tensor]) -> Any:
        """Return nested arguments with meta tensors in place of constants, listed in `made`."""
        if isinstance(value, Tensor):
            if value.is_meta:
                return value
            width = torch.float64 if value in self._kept else value.dtype
            made.append(torch.empty(value.shape, dtype=width, device="meta"))
            return made[-1]
        if isinstance(value, dict):
            return {key: self._without_values(item, made) for key, item in value.items()}
        if isinstance(value, tuple) and type(value) is not tuple:
            return value  # such as a torch.Size
        if isinstance(value, list | tuple):
            return type(value)(self._without_values(item, made) for item in value)
        return value
