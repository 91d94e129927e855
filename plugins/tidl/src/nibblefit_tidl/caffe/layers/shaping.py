"""Layers that only move values: Flatten, Reshape, Permute, Crop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from nibblefit.ir.ops import Op
from nibblefit.nn.problems import Refused
from nibblefit_tidl.caffe.site import Handler, Site, axis_of


def _flatten(site: Site) -> Sequence[str]:
    settings = site.layer.flatten_param
    start, end = axis_of(site, settings.axis), axis_of(site, settings.end_axis)
    shape = site.shape
    if end == len(shape):
        return (site.add(Op.FLATTEN, start_axis=start),)
    if end < start:
        raise Refused(f"it flattens axes {start} to {end}", "give an end_axis from axis on")
    joined = (*shape[: start - 1], math.prod(shape[start - 1 : end]), *shape[end:])
    return (site.add(Op.RESHAPE, shape=joined),)


def _reshape(site: Site) -> Sequence[str]:
    """Import a Reshape: 0 copies an axis, −1 takes what is left."""
    settings = site.layer.reshape_param
    full = (0, *site.shape)  # 0 stands for the batch axis, whatever its size
    axis = settings.axis + len(full) + 1 if settings.axis < 0 else settings.axis
    stop = len(full) if settings.num_axes == -1 else axis + settings.num_axes
    if not 0 <= axis <= stop <= len(full):
        raise Refused(f"axis {settings.axis} and num_axes {settings.num_axes} reach beyond {full}")
    middle = list(settings.shape.dim)
    if axis == 0 and stop > 0:
        if not middle or middle[0] not in {0, 1}:
            raise Refused("it changes the batch axis", "let the shape start with dim: 0")
        middle, axis = middle[1:], 1
    elif axis == 0:
        raise Refused("it adds an axis in front of the batch axis", "use an axis from 1 on")
    wanted = _resolved(middle, full, axis, stop)
    shape = (*full[1:axis], *wanted, *full[stop:])
    if shape == site.shape:
        return (site.add(Op.IDENTITY),)
    return (site.add(Op.RESHAPE, shape=shape),)


def _resolved(dims: Sequence[int], full: Sequence[int], axis: int, stop: int) -> list[int]:
    copied = []
    for place, dim in enumerate(dims):
        if dim == 0 and axis + place >= len(full):
            raise Refused(f"dimension {place} copies an axis that its input lacks")
        copied.append(full[axis + place] if dim == 0 else int(dim))
    total = math.prod(full[axis:stop])
    known = math.prod(dim for dim in copied if dim != -1)
    if copied.count(-1) > 1 or known < 1 or total % known:
        raise Refused(f"{total} values do not fit the dimensions {list(dims)}")
    return [total // known if dim == -1 else dim for dim in copied]


def _permute(site: Site) -> Sequence[str]:
    """Import a Permute: axes that the order leaves out follow in their own order."""
    order = list(site.layer.permute_param.order)
    rank = len(site.shape) + 1
    order += [axis for axis in range(rank) if axis not in order]
    if sorted(order) != list(range(rank)) or order[0] != 0:
        raise Refused(f"its order {order} does not keep the batch axis in front",
                      f"give an order of 0 to {rank - 1} that starts with 0")  # fmt: skip
    return (site.add(Op.TRANSPOSE, perm=tuple(order)),)


def _crop(site: Site) -> Sequence[str]:
    """Cut the first bottom to the sizes of the second, from `axis` on."""
    site.expect_inputs(2)
    settings = site.layer.crop_param
    first, like = axis_of(site, settings.axis), site.builder.shape_of(site.inputs[1])
    axes = tuple(range(first, len(site.shape) + 1))
    offsets = tuple(settings.offset) or (0,)
    if len(offsets) == 1:
        offsets *= len(axes)
    if len(offsets) != len(axes) or len(like) != len(site.shape):
        raise Refused(f"{len(offsets)} offsets do not fit axes {axes} of {site.shape} and {like}")
    ends = tuple(offset + like[axis - 1] for offset, axis in zip(offsets, axes))
    if any(end > site.shape[axis - 1] for end, axis in zip(ends, axes)):
        raise Refused(f"it cuts {like} from {site.shape} at {offsets}, beyond its end")
    return (site.add(Op.SLICE, axes=axes, starts=tuple(map(int, offsets)), ends=ends),)


HANDLERS: Mapping[str, Handler] = {
    "Flatten": _flatten, "Reshape": _reshape, "Permute": _permute, "Crop": _crop,
}  # fmt: skip
