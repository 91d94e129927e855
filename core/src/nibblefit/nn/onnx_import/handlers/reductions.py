"""ReduceMean, ReduceMax and ReduceSum over spatial axes, said as pools."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_import.site import Handler, Site
from nibblefit.nn.problems import Refused


def _axes(site: Site) -> tuple[int, ...]:
    rank = len(site.shape()) + 1
    given = site.ints(1, "axes")
    if not given:
        raise Refused("it reduces the whole batch", "name the spatial axes")
    axes = tuple(sorted(site.axis(a) for a in given))
    is_turned = axes == (1,) and rank == 3
    if not is_turned and (1 in axes or not 3 <= rank <= 5):
        raise Refused(f"it reduces axes {axes} of {rank}", "reduce spatial axes (2 and up)")
    return axes


def _pooled(site: Site, axes: tuple[int, ...], pool: Op, whole: Op, part: str) -> str:
    x, shape = site.activation(), site.shape()
    if axes == (1,):
        turned = site.add(Op.TRANSPOSE, [x], part="turned", perm=(0, 2, 1))
        pooled = site.add(whole, [turned], part="pooled")
        return site.add(Op.TRANSPOSE, [pooled], part=part, perm=(0, 2, 1))
    if axes == tuple(range(2, len(shape) + 1)):
        return site.add(whole, [x], part=part)
    kernel = tuple(shape[a - 1] if a in axes else 1 for a in range(2, len(shape) + 1))
    extra = {"count_include_pad": False} if pool is Op.AVG_POOL else {}
    return site.add(pool, [x], part=part, kernel=kernel, strides=kernel, **extra)


def _reduce(pool: Op, whole: Op, *, is_sum: bool = False) -> Handler:
    def handler(site: Site) -> str:
        axes, shape = _axes(site), site.shape()
        keeps = bool(site.attribute("keepdims", 1))
        part = "" if keeps and not is_sum else "mean" if is_sum else "pooled"
        kept = _pooled(site, axes, pool, whole, part)
        if is_sum:
            count = site.number(float(prod(shape[a - 1] for a in axes)), "count")
            kept = site.add(Op.MUL, [kept, count], part="" if keeps else "total")
        if keeps:
            return kept
        after = tuple(size for a, size in enumerate(shape, start=1) if a not in axes)
        if len(after) == 1 and axes != (1,):
            return site.add(Op.FLATTEN, [kept], start_axis=1)
        return site.add(Op.RESHAPE, [kept], shape=after)

    return handler


HANDLERS: Mapping[str, Handler] = {
    "ReduceMean": _reduce(Op.AVG_POOL, Op.GLOBAL_AVG_POOL),
    "ReduceMax": _reduce(Op.MAX_POOL, Op.GLOBAL_MAX_POOL),
    "ReduceSum": _reduce(Op.AVG_POOL, Op.GLOBAL_AVG_POOL, is_sum=True),
}
