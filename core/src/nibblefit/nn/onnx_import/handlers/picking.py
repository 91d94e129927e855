"""Slice and Gather."""

from __future__ import annotations

from collections.abc import Mapping

from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_import.site import Handler, Site
from nibblefit.nn.problems import Refused

#: Ends beyond this mean "to the end" in exported files.
_FAR = 1 << 30


def _slice(site: Site) -> str:
    rank = len(site.shape()) + 1
    starts, ends = site.ints(1, "starts"), site.ints(2, "ends")
    axes = site.ints(3, "axes", range(len(starts)))
    steps = site.ints(4, "steps", (1,) * len(starts))
    cuts: dict[int, range] = {}
    for axis, start, end, step in zip(axes, starts, ends, steps):
        index = axis % rank
        if step < 1:
            raise Refused("it reverses an axis", "use positive steps")
        if index == 0:
            if start == 0 and step == 1 and (end >= _FAR or end == site.batch):
                continue
            raise Refused("it picks samples out of the batch", "slice other axes only")
        size = site.shape()[index - 1]
        cut = range(*slice(start, end, step).indices(size))
        if cut != range(size):
            cuts[index] = cut
    return _cut(site, cuts)


def _cut(site: Site, cuts: Mapping[int, range], part: str = "") -> str:
    if not cuts:
        return site.activation()
    return site.add(
        Op.SLICE, [site.activation()], part=part, axes=tuple(cuts),
        starts=tuple(r.start for r in cuts.values()), ends=tuple(r.stop for r in cuts.values()),
        strides=tuple(r.step for r in cuts.values()),
    )  # fmt: skip


def _gather(site: Site) -> str:
    places = site.array(1, "indices")
    axis = site.axis(int(site.attribute("axis", 0)))
    size = site.shape()[axis - 1]
    flat = [int(p) % size for p in places.reshape(-1)]
    if not flat or places.ndim > 1 or flat != list(range(flat[0], flat[0] + len(flat))):
        raise Refused("it picks values by index", "use Slice and Concat")
    is_whole = len(flat) == size
    cuts = {} if is_whole else {axis: range(flat[0], flat[0] + len(flat))}
    if places.ndim == 1:
        return _cut(site, cuts)
    shape = site.shape()
    name = _cut(site, cuts, "slice")
    return site.add(Op.RESHAPE, [name], shape=(*shape[: axis - 1], *shape[axis:]))


HANDLERS: Mapping[str, Handler] = {"Slice": _slice, "Gather": _gather}
