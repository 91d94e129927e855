"""Conversions between float widths are left out: a graph's numbers get their widths later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from nibblefit.nn.capture.functions import function_name

#: Copies and conversions: the values stay the same. Widths of floats are the target's business.
SAME_VALUES = frozenset({
    "contiguous", "clone", "detach", "to", "float", "double", "half", "bfloat16", "type_as", "cpu",
    "cuda", "requires_grad", ".data", "alias", "type", "as_subclass",
})  # fmt: skip


#: Computes a call: function, arguments, keyword arguments → result.
Evaluate: TypeAlias = Callable[[Callable[..., Any], Any, Any], Any]


def computed(func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Compute a call as torch does."""
    return func(*args, **kwargs)


def narrows(before: Tensor, after: Tensor) -> bool:
    """Return whether a conversion only made a float narrower (or wider)."""
    return before.is_floating_point() and after.is_floating_point() and before.dtype != after.dtype


def in_full_width(
    func: Callable[..., Any], args: Any, kwargs: Any, evaluate: Evaluate = computed
) -> Any:
    """Call a converting function; float64 stays float64, and whole numbers become float64."""
    result = evaluate(func, args, kwargs)
    source = args[0] if args else None
    if not isinstance(source, Tensor) or not isinstance(result, Tensor):
        return result
    if narrows(source, result):
        return source if source.dtype is torch.float64 else result
    is_made_float = result.is_floating_point() and not source.is_floating_point()
    return result.double() if is_made_float else result


class FullWidth(TorchFunctionMode):
    """While active, no function narrows a float64 tensor.

    Args:
        evaluate: Computes the calls.
    """

    def __init__(self, evaluate: Evaluate = computed) -> None:
        super().__init__()
        self._evaluate = evaluate

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function_name(func) in SAME_VALUES:
            return in_full_width(func, args, kwargs, self._evaluate)
        return self._evaluate(func, args, kwargs)
