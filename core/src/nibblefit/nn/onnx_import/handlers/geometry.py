"""Strides, dilations and pads of a windowed ONNX node, automatic padding resolved."""

from __future__ import annotations

from collections.abc import Sequence

from nibblefit.nn.onnx_import.site import Site
from nibblefit.nn.problems import Refused


def per_axis(site: Site, name: str, axes: int, default: int) -> tuple[int, ...]:
    """Return an attribute with one entry per axis."""
    found = site.attribute(name)
    values = tuple(int(v) for v in found) if found else (default,) * axes
    if len(values) != axes:
        raise Refused(f"{name} is {values}; expected {axes} entries")
    return values


def pads(
    site: Site, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[int, ...]:
    """Return begins and ends of the padding.

    Source: ONNX operators Conv and MaxPool, attribute auto_pad.
    """
    axes, sizes = len(kernel), site.shape()[1:]
    mode = site.attribute("auto_pad", "NOTSET")
    if mode == "NOTSET":
        found = per_axis(site, "pads", 2 * axes, 0)
        if min(found) < 0:
            raise Refused(f"its pads are {found}", "slice first instead of negative padding")
        return found
    if mode == "VALID":
        return (0,) * (2 * axes)
    totals = [
        max((-(-size // stride) - 1) * stride + (k - 1) * dilation + 1 - size, 0)
        for size, k, stride, dilation in zip(sizes, kernel, strides, dilations)
    ]
    return split_pads(totals, mode)


def split_pads(totals: Sequence[int], mode: str) -> tuple[int, ...]:
    """Share the padding of each axis; the odd sample goes to the end for SAME_UPPER."""
    if mode not in {"SAME_UPPER", "SAME_LOWER"}:
        raise Refused(f"auto_pad is '{mode}'", "use explicit pads")
    small = tuple(total // 2 for total in totals)
    large = tuple(total - total // 2 for total in totals)
    return (*small, *large) if mode == "SAME_UPPER" else (*large, *small)
