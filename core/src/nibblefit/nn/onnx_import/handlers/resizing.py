"""Resize."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nibblefit.ir.attributes import COORDINATES
from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_import.site import Handler, Site
from nibblefit.nn.problems import Refused


def _resize(site: Site) -> str:
    mode = site.attribute("mode", "nearest")
    coordinates = site.attribute("coordinate_transformation_mode", "half_pixel")
    if mode not in {"nearest", "linear"} or site.attribute("antialias", 0):
        raise Refused(f"mode '{mode}' has no operator", "use nearest or linear")
    if coordinates not in COORDINATES:
        raise Refused(f"coordinates '{coordinates}' have no operator",
                      f"use one of {', '.join(COORDINATES)}")  # fmt: skip
    if site.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Refused("it keeps the aspect ratio", "state both sizes")
    sizes = _sizes(site)
    if sizes == site.shape()[1:]:
        return site.activation()
    if mode == "linear":
        return site.add(
            Op.RESIZE_BILINEAR, [site.activation()], sizes=sizes, coordinates=coordinates
        )
    return site.add(
        Op.RESIZE_NEAREST, [site.activation()], sizes=sizes, coordinates=coordinates,
        nearest_mode=site.attribute("nearest_mode", "round_prefer_floor"),
    )  # fmt: skip


def _sizes(site: Site) -> tuple[int, ...]:
    """Return the new spatial sizes from the input `sizes` or `scales`."""
    shape = (site.batch, *site.shape())
    axes = [int(a) % len(shape) for a in site.attribute("axes", range(len(shape)))]
    has_sizes = site.has(3) and site.array(3, "sizes").size > 0
    if not has_sizes and not site.has(2):
        raise Refused("it has neither sizes nor scales")
    given = site.array(3, "sizes") if has_sizes else site.array(2, "scales")
    values = [float(v) for v in given.reshape(-1)]
    if len(values) != len(axes):
        raise Refused(f"it states {len(values)} sizes or scales for {len(axes)} axes")
    after = [float(n) for n in shape]
    for axis, value in zip(axes, values):
        after[axis] = value if has_sizes else _scaled(shape[axis], value)
    return _whole(after, shape)


def _scaled(size: int, scale: float) -> float:
    """Return the size that a scale leads to.

    A float32 scale can rarely say the ratio of two sizes: the whole size whose ratio rounds to
    this scale, or to its neighbour below, is what was meant. Any other scale would sample the
    input at other positions than the ratio of the sizes does.
    """
    wanted = max(1, round(size * scale))
    nearest = np.float32(wanted / size)
    upper = np.nextafter(nearest, np.float32(np.inf))
    return float(wanted) if np.float32(scale) in (nearest, upper) else size * scale


def _whole(after: Sequence[float], shape: Sequence[int]) -> tuple[int, ...]:
    if any(n != int(n) or n < 1 for n in after):
        raise Refused("its scales do not lead to whole sizes", "state sizes instead of scales")
    if tuple(after[:2]) != tuple(shape[:2]):
        raise Refused("it resizes the batch or channel axis", "resize spatial axes only")
    return tuple(int(n) for n in after[2:])


HANDLERS: Mapping[str, Handler] = {"Resize": _resize}
