"""Conversions between float widths are left out: a graph's numbers get their widths later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from nibblefit.nn.capture.functions import function_name

#: Copies and conversions: the values stay the same. Widths of floats are the target's business.
SAME_VALUES = frozenset({
    "contiguous", "clone", "detach", "to", "float", "double", "half", "bfloat16", "type_as", "cpu",
    "cuda", "requires_grad", ".data", "alias", "type", "as_subclass",
})  # fmt: skip


def narrows(before: Tensor, after: Tensor) -> bool:
    """Return whether a conversion only made a float narrower (or wider)."""
    return before.is_floating_point() and after.is_floating_point() and before.dtype != after.dtype


def in_full_width(func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call a converting function; float64 stays float64, and whole numbers become float64."""
    result = func(*args, **kwargs)
    source = args[0] if args else None
    if not isinstance(source, Tensor) or not isinstance(result, Tensor):
        return result
    if narrows(source, result):
        return source if source.dtype is torch.float64 else result
    is_made_float = result.is_floating_point() and not source.is_floating_point()
    return result.double() if is_made_float else result


class FullWidth(TorchFunctionMode):
    """While active, no function narrows a float64 tensor."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function_name(func) in SAME_VALUES:
            return in_full_width(func, args, kwargs)
        return func(*args, **kwargs)
