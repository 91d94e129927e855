"""Slices and single indices: ``x[:, 2:8]``, ``x[..., 0]``, ``x.narrow``, ``x.select``."""

# Handlers have the argument names and the argument order of torch.
# ruff: noqa: A002

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from nibblefit.ir.ops import Op
from nibblefit.nn.capture.call import Call, Handler
from nibblefit.nn.problems import Refused

_HINT = "use slices (x[:, a:b]) and torch.cat"


def _getitem(call: Call, input: Tensor, index: Any) -> str:
    axis, cuts = 0, {}
    for entry in _without_ellipsis(index, input.dim()):
        if entry is None:
            continue
        if axis == 0:
            if entry != slice(None):
                raise Refused("it picks samples out of the batch", "index axis 0 with : only")
        elif isinstance(entry, slice):
            cuts[axis] = range(*entry.indices(input.shape[axis]))
        else:
            place = entry % input.shape[axis]
            cuts[axis] = range(place, place + 1)
        axis += 1
    return _cut(call, input, cuts)


def _without_ellipsis(index: Any, rank: int) -> list[Any]:
    """Return one entry per axis: slices, integers and None."""
    entries = list(index) if isinstance(index, tuple) else [index]
    for entry in entries:
        plain = entry is None or entry is Ellipsis or isinstance(entry, slice)
        if not plain and (isinstance(entry, bool) or not isinstance(entry, int)):
            raise Refused(f"it indexes with a {type(entry).__name__}", _HINT)
    used = sum(entry is not None and entry is not Ellipsis for entry in entries)
    fill = [slice(None)] * (rank - used)
    if Ellipsis in entries:
        place = entries.index(Ellipsis)
        return [*entries[:place], *fill, *entries[place + 1 :]]
    return [*entries, *fill]


def _cut(call: Call, x: Tensor, cuts: Mapping[int, range]) -> str:
    """Take a range of each listed axis, then give the result torch's shape."""
    name = call.activation(x)
    real = {a: r for a, r in cuts.items() if r != range(x.shape[a])}
    sizes = tuple(len(cuts[a]) if a in cuts else x.shape[a] for a in range(1, x.dim()))
    wanted = tuple(call.result.shape[1:])
    if real:
        name = call.add(
            Op.SLICE, [name], part="" if sizes == wanted else "slice", axes=tuple(real),
            starts=tuple(r.start for r in real.values()),
            ends=tuple(r.stop for r in real.values()),
            strides=tuple(r.step for r in real.values()),
        )  # fmt: skip
    return name if sizes == wanted else call.add(Op.RESHAPE, [name], shape=wanted)


def _narrow(call: Call, input: Tensor, dim: int, start: int, length: int) -> str:
    axis = call.axis(input, dim)
    first = int(start) % input.shape[axis]
    return _cut(call, input, {axis: range(first, first + int(length))})


def _select(call: Call, input: Tensor, dim: int, index: int) -> str:
    axis = call.axis(input, dim)
    place = int(index) % input.shape[axis]
    return _cut(call, input, {axis: range(place, place + 1)})


HANDLERS: Mapping[str, Handler] = {"getitem": _getitem, "narrow": _narrow, "select": _select}
