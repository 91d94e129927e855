"""Mean, sum and maximum over spatial axes, said as pools."""

# Handlers have the argument names and the argument order of torch.
# ruff: noqa: A002, ARG001, PLR0917

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from torch import Tensor

from nibblefit.ir.ops import Op
from nibblefit.nn.capture.call import Call, Handler
from nibblefit.nn.problems import Refused

_Axes = int | Sequence[int] | None


def _spatial_axes(call: Call, x: Tensor, dim: _Axes) -> tuple[int, ...]:
    if dim is None or (not isinstance(dim, int) and not len(dim)):
        raise Refused("it reduces the whole batch", "name the spatial axes, such as dim=(2, 3)")
    axes = tuple(sorted(call.axis(x, d) for d in ([dim] if isinstance(dim, int) else dim)))
    if x.dim() == 3 and axes == (1,):
        return axes
    if 1 in axes or not 3 <= x.dim() <= 5:
        raise Refused(
            f"it reduces axes {axes} of {x.dim()}",
            "reduce spatial axes (2 and up); over channels use a 1×1 convolution",
        )
    return axes


def _pooled(call: Call, x: Tensor, axes: tuple[int, ...], pool: Op, whole: Op, part: str) -> str:
    """Reduce `axes`, keeping them with size 1."""
    name = call.activation(x)
    if axes == (1,):
        turned = call.add(Op.TRANSPOSE, [name], part="turned", perm=(0, 2, 1))
        pooled = call.add(whole, [turned], part="pooled")
        return call.add(Op.TRANSPOSE, [pooled], part=part, perm=(0, 2, 1))
    if axes == tuple(range(2, x.dim())):
        return call.add(whole, [name], part=part)
    kernel = tuple(x.shape[a] if a in axes else 1 for a in range(2, x.dim()))
    extra = {"count_include_pad": False} if pool is Op.AVG_POOL else {}
    return call.add(pool, [name], part=part, kernel=kernel, strides=kernel, **extra)


def _reduce(call: Call, x: Tensor, dim: _Axes, keepdim: bool, pool: Op, whole: Op) -> str:
    axes = _spatial_axes(call, x, dim)
    kept = _pooled(call, x, axes, pool, whole, "" if keepdim else "pooled")
    return kept if keepdim else _dropped(call, kept, x)


def _dropped(call: Call, kept: str, x: Tensor) -> str:
    """Remove the axes of size 1 that a reduction without keepdim does not return."""
    if call.result.dim() == 2 and call.shape(kept)[0] == x.shape[1]:
        return call.add(Op.FLATTEN, [kept], start_axis=1)
    return call.add(Op.RESHAPE, [kept], shape=tuple(call.result.shape[1:]))


def _mean(
    call: Call, input: Tensor, dim: _Axes = None, keepdim: bool = False, *, dtype: Any = None
) -> str:  # fmt: skip
    return _reduce(call, input, dim, keepdim, Op.AVG_POOL, Op.GLOBAL_AVG_POOL)


def _amax(call: Call, input: Tensor, dim: _Axes = None, keepdim: bool = False) -> str:
    return _reduce(call, input, dim, keepdim, Op.MAX_POOL, Op.GLOBAL_MAX_POOL)


def _sum(
    call: Call, input: Tensor, dim: _Axes = None, keepdim: bool = False, *, dtype: Any = None
) -> str:  # fmt: skip
    axes = _spatial_axes(call, input, dim)
    mean = _pooled(call, input, axes, Op.AVG_POOL, Op.GLOBAL_AVG_POOL, "mean")
    count = call.number(float(prod(input.shape[a] for a in axes)), "count")
    total = call.add(Op.MUL, [mean, count], part="" if keepdim else "total")
    return total if keepdim else _dropped(call, total, input)


HANDLERS: Mapping[str, Handler] = {"mean": _mean, "amax": _amax, "sum": _sum}
