"""Shapes of results of the functions that networks call most, without asking torch.

torch can say any of them (on its meta device), but takes long to say it first, since it loads its
symbolic machinery. Every shape is checked against the graph's operator when the call is recorded.
"""

# Rules have the argument names and the argument order of torch.
# ruff: noqa: A002, PLR0917

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import floor
from typing import Any

import torch
from torch import Tensor

from nibblefit.nn.capture.convolved import per_axis
from nibblefit.nn.capture.tensors import tensors_in

Sizes = tuple[int, ...]
#: Functions of one value at a time → the place of their argument `inplace`, if they have one.
_POINTWISE: Mapping[str, int | None] = {
    "relu": 1, "relu6": 1, "silu": 1, "hardswish": 1, "hardsigmoid": 1, "leaky_relu": 2,
    "hardtanh": 3, "dropout": 3, "feature_dropout": 3, "threshold": 3, "sigmoid": None,
    "tanh": None, "abs": None, "neg": None, "square": None, "softmax": None, "batch_norm": None,
    "prelu": None, "clamp": None, "clamp_min": None, "clamp_max": None,
}  # fmt: skip
#: Functions of two values, which are broadcast.
_BINARY = frozenset({"add", "sub", "mul", "div"})
#: Arguments that decide about the type of a result.
_WIDTHS = frozenset({"dtype", "out"})
_FREE = "torch.nn.functional"


def result_of(
    func: Callable[..., Any], name: str, args: Any, kwargs: Mapping[str, Any]
) -> tuple[Sizes, bool] | None:  # fmt: skip
    """Return the shape of a float64 result and whether it is the first argument, changed in place.

    Args:
        func: A function of torch.
        name: Its canonical name.
        args: Its arguments, of which at least one is an activation.
        kwargs: The named ones.

    Returns:
        None where torch has to say it.
    """
    tensors = list(tensors_in((args, kwargs)))
    named = {key: value for key, value in kwargs.items() if key not in _WIDTHS or value is not None}
    if not args or not all(_is_plain(t) for t in tensors) or _WIDTHS & named.keys():
        return None
    if name in _POINTWISE and isinstance(args[0], Tensor) and args[0].is_meta:
        return tuple(args[0].shape), _is_in_place(func, _POINTWISE[name], args, kwargs)
    if name in _BINARY and "rounding_mode" not in named:
        return _broadcast(func, args, tensors)
    if name not in _RULES:
        return None
    try:
        shape = _RULES[name](*args, **named)
    except (TypeError, ValueError):
        # Arguments in another form, which torch may know.
        return None
    return None if shape is None or any(size < 1 for size in shape) else (shape, False)


def _is_plain(tensor: Tensor) -> bool:
    if tensor.is_meta:
        return tensor.dtype is torch.float64
    return not tensor.dtype.is_complex


def _is_in_place(
    func: Callable[..., Any], place: int | None, args: Any, kwargs: Mapping[str, Any]
) -> bool:  # fmt: skip
    called = func.__name__
    if called.endswith("_") and not called.endswith("__"):
        return True
    if place is None or getattr(func, "__module__", "") != _FREE:
        return False
    return bool(args[place] if len(args) > place else kwargs.get("inplace", False))


def _broadcast(
    func: Callable[..., Any], args: Any, tensors: Sequence[Tensor]
) -> tuple[Sizes, bool] | None:  # fmt: skip
    shape = tensors[0].shape
    if any(t.shape != shape for t in tensors):
        try:
            shape = torch.broadcast_shapes(*(t.shape for t in tensors))  # type: ignore[no-untyped-call]
        except RuntimeError:
            return None
    called = func.__name__
    in_place = called.startswith("__i") or (called.endswith("_") and not called.endswith("__"))
    if in_place and (args[0].shape != shape or not args[0].is_meta):
        return None
    return tuple(shape), in_place


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Sizes | None:
    if weight.dim() != 2 or input.shape[-1] != weight.shape[1]:
        return None
    if bias is not None and bias.shape != weight.shape[:1]:
        return None
    return (*input.shape[:-1], weight.shape[0])


def _pooled(x: Tensor, axes: int, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Sizes:
    kernels = per_axis(kernel, axes)
    steps = kernels if stride is None or stride == [] else per_axis(stride, axes)
    sizes = zip(x.shape[2:], kernels, steps, per_axis(padding, axes), per_axis(dilation, axes),
                strict=True)  # fmt: skip
    return (*x.shape[:2], *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes))


def _max_pool(axes: int) -> Callable[..., Sizes | None]:
    def rule(
        input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
        dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False,
    ) -> Sizes | None:  # fmt: skip
        if ceil_mode or return_indices:
            return None
        return _pooled(input, axes, kernel_size, stride, padding, dilation)

    return rule


def _avg_pool(axes: int) -> Callable[..., Sizes | None]:
    def rule(
        input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
        ceil_mode: bool = False, *_: Any, **__: Any,
    ) -> Sizes | None:  # fmt: skip
        return None if ceil_mode else _pooled(input, axes, kernel_size, stride, padding, 1)

    return rule


def _adaptive(axes: int) -> Callable[..., Sizes | None]:
    def rule(input: Tensor, output_size: Any, return_indices: bool = False) -> Sizes | None:
        if return_indices or input.dim() != axes + 2:
            return None
        wanted = (output_size,) * axes if isinstance(output_size, int) else tuple(output_size)
        made = (
            n if want is None else want for n, want in zip(input.shape[2:], wanted, strict=True)
        )
        return (*input.shape[:2], *made)

    return rule


def _cat(tensors: Sequence[Tensor], dim: int = 0) -> Sizes | None:
    first = tensors[0].shape
    axis = dim % len(first)
    rest = {(*t.shape[:axis], *t.shape[axis + 1 :]) for t in tensors}
    if len(rest) != 1 or any(t.dim() != len(first) for t in tensors):
        return None
    return (*first[:axis], sum(t.shape[axis] for t in tensors), *first[axis + 1 :])


def _mean(input: Tensor, dim: Any, keepdim: bool = False) -> Sizes | None:
    if dim is None:
        return None
    axes = {axis % input.dim() for axis in ((dim,) if isinstance(dim, int) else dim)}
    if not axes:
        return None
    sizes = enumerate(input.shape)
    return tuple(1 if axis in axes else n for axis, n in sizes if keepdim or axis not in axes)


def _interpolated(
    input: Tensor, size: Any = None, scale_factor: Any = None, *_: Any, **__: Any,
) -> Sizes | None:  # fmt: skip
    axes = input.dim() - 2
    if size is not None:
        return (*input.shape[:2], *per_axis(size, axes))
    factors = scale_factor if isinstance(scale_factor, list | tuple) else (scale_factor,) * axes
    made = (floor(float(n) * factor) for n, factor in zip(input.shape[2:], factors, strict=True))
    return (*input.shape[:2], *made)


_RULES: Mapping[str, Callable[..., Sizes | None]] = {
    "linear": _linear,
    "cat": _cat,
    "mean": _mean,
    "interpolate": _interpolated,
    **{f"max_pool{n}d": _max_pool(n) for n in (1, 2, 3)},
    **{f"avg_pool{n}d": _avg_pool(n) for n in (1, 2, 3)},
    **{f"adaptive_{kind}_pool{n}d": _adaptive(n) for n in (1, 2, 3) for kind in ("avg", "max")},
}
