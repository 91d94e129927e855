"""Operators that move values: concatenate, cut, pad, reorder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nibblefit.fixed.operators.product import Array


def concat(operands: Sequence[Array], axis: int) -> Array:
    """Return the operands joined along `axis`."""
    return np.concatenate(operands, axis=axis)


def cut(
    x: Array, axes: Sequence[int], starts: Sequence[int], ends: Sequence[int | None],
    strides: Sequence[int],
) -> Array:  # fmt: skip
    """Return ``x[start:end:stride]`` along each axis, by Python's slice rules."""
    cuts = [slice(None)] * x.ndim
    for axis, start, end, stride in zip(axes, starts, ends, strides, strict=True):
        cuts[axis] = slice(start, end, stride)
    return x[tuple(cuts)]


def split(x: Array, axis: int, sizes: Sequence[int]) -> list[Array]:
    """Return consecutive parts of the given sizes along `axis`."""
    return np.split(x, np.cumsum(sizes)[:-1], axis=axis)


def pad(x: Array, pads: Sequence[int], value: Any) -> Array:
    """Return x with a constant around every axis but the batch: begins, then ends."""
    half = len(pads) // 2
    widths = [(0, 0), *zip(pads[:half], pads[half:], strict=True)]
    return np.pad(x, widths, constant_values=value)


def pixel_shuffle(x: Array, factor: int, order: str) -> Array:
    """Return (batch, c·r², h, w) rearranged to (batch, c, h·r, w·r).

    Output pixel (c, h·r + i, w·r + j) comes from channel ``c·r² + i·r + j`` in order ``crd`` and
    from channel ``(i·r + j)·C + c`` in order ``dcr``, C being the number of output channels.
    """
    batch, channels, height, width = x.shape
    out = channels // factor**2
    if order == "crd":
        blocks = x.reshape(batch, out, factor, factor, height, width)
        blocks = blocks.transpose(0, 1, 4, 2, 5, 3)
    else:
        blocks = x.reshape(batch, factor, factor, out, height, width)
        blocks = blocks.transpose(0, 3, 4, 1, 5, 2)
    return blocks.reshape(batch, out, height * factor, width * factor)


def flatten(x: Array, start_axis: int) -> Array:
    """Return x with all axes from `start_axis` on joined into one."""
    return x.reshape(*x.shape[:start_axis], math.prod(x.shape[start_axis:]))


def reshape(x: Array, shape: Sequence[int]) -> Array:
    """Return x with another shape behind the batch axis."""
    return x.reshape(x.shape[0], *shape)


def transpose(x: Array, perm: Sequence[int]) -> Array:
    """Return x with reordered axes; axis 0 stays."""
    return x.transpose(tuple(perm))
