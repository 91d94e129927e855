"""Checks of layers that move values: axes, slices, padding, resizing, transposing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit_tidl.tables.checks.windows import times
from nibblefit_tidl.tables.site import Site

#: Layers that may stand between a detection head's convolution and DetectionOutput.
_HEAD = frozenset({Op.TRANSPOSE, Op.FLATTEN, Op.RESHAPE, Op.CONCAT, Op.SOFTMAX})


def axis_from_end(site: Site, allowed: Sequence[int]) -> str:
    """The axis is one of these, counted from the end: 1 is the width, 3 the channels of a map.

    Vectors (batch, channels) have their channels as width.
    """
    rank = len(site.shape) + 1
    axis = int(site.node.attributes["axis"])
    place = -axis if axis < 0 else rank - axis
    if rank == 2 and place == 1 and site.node.op is Op.CONCAT:
        return ""
    return f"axis {-place} of an input of {times(site.shape)}" if place not in allowed else ""


def keepdims(site: Site) -> str:
    """The reduced axis is kept with size 1."""
    return "" if site.node.attributes.get("keepdims", False) else "keepdims 0"


def strided_slice(site: Site) -> str:
    """Slices have step 1."""
    steps = tuple(site.node.attributes.get("strides") or ())
    return f"steps {times(steps)}" if any(step != 1 for step in steps) else ""


def slice_axes(site: Site, most: int) -> str:
    """Slices take at most so many axes at once."""
    count = len(tuple(site.node.attributes.get("axes") or ()))
    return f"a slice of {count} axes" if count > most else ""


def resize_scale(site: Site) -> str:
    """Scales are the same on both axes, powers of two, and at least 1."""
    pairs = [
        (new, old) for new, old in zip(site.node.attributes["sizes"], site.shape[1:], strict=True)
    ]
    whole = all(new % old == 0 for new, old in pairs)
    scales = {new // old for new, old in pairs}
    scale = next(iter(scales))
    good = whole and len(scales) == 1 and scale >= 1 and scale & (scale - 1) == 0
    sizes = times([new for new, _ in pairs])
    return "" if good else f"{times(site.shape[1:])} to {sizes}"


def resize_coordinates(site: Site) -> str:
    """Coordinates and rounding are among TI's combinations."""
    mode = site.node.attributes["coordinates"]
    if site.node.op is Op.RESIZE_BILINEAR:
        return "" if mode in _HALF else f"linear with {mode}"
    wanted = {**dict.fromkeys(_HALF, "round_prefer_ceil"), "asymmetric": "floor"}
    rounding = site.node.attributes.get("nearest_mode", "floor")
    return "" if wanted.get(mode) == rounding else f"nearest with {mode} and {rounding}"


_HALF = ("half_pixel", "pytorch_half_pixel")


def resize_to_one(site: Site) -> str:
    """pytorch_half_pixel makes no output of size 1."""
    sizes = site.node.attributes["sizes"]
    bad = site.node.attributes["coordinates"] == "pytorch_half_pixel" and min(sizes) <= 1
    return f"an output of {times(sizes)}" if bad else ""


def padded_axes(site: Site) -> str:
    """Only height and width are padded."""
    pads = tuple(site.node.attributes["pads"])
    axes = len(pads) // 2
    outer = max(0, axes - 2)
    return f"pads {times(pads)}" if any((*pads[:outer], *pads[axes : axes + outer])) else ""


def pad_value(site: Site) -> str:
    """Padding is zero."""
    value = site.node.attributes.get("value", 0)
    return f"padding with {value:g}" if value else ""


def outside_detection_head(site: Site) -> str:
    """Every way on leads to an output through layers of a detection head, a concatenation one."""
    waiting: list[Node] = [site.node]
    joined = False
    while waiting:
        node = waiting.pop()
        if node.op not in _HEAD:
            return f"'{node.name}' behind it"
        joined = joined or node.op is Op.CONCAT
        waiting += [reader for name in node.outputs for reader in site.graph.consumers()[name]]
    return "" if joined else "no concatenation of heads behind it"


CHECKS: Mapping[str, Callable[..., str]] = {
    check.__name__: check
    for check in (
        axis_from_end, keepdims, strided_slice, slice_axes, resize_scale, resize_coordinates,
        resize_to_one, padded_axes, pad_value, outside_detection_head,
    )
}  # fmt: skip
