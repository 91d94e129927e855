"""Sliding windows as strided views, one per kernel tap."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from nibblefit.fixed.geometry import Window
from nibblefit.fixed.operators.product import Array


def pad_spatial(x: Array, begins: tuple[int, ...], ends: tuple[int, ...], value: Any) -> Array:
    """Return x (batch, channels, *spatial) with a constant around its spatial axes."""
    if not any(begins) and not any(ends):
        return x
    widths = [(0, 0), (0, 0), *zip(begins, ends, strict=True)]
    return np.pad(x, widths, constant_values=value)


def taps(x: Array, window: Window, fill: Any = 0) -> Iterator[Array]:
    """Yield, for every kernel tap in row-major order, what it sees at all window positions.

    Each is a view of shape (batch, channels, *positions): ``x[begin + tap·dilation :: stride]``
    of the padded input.
    """
    sizes = x.shape[2:]
    counts = window.output_sizes(sizes)
    padded = pad_spatial(x, window.begins(), window.reach(sizes), fill)
    for tap in itertools.product(*map(range, window.kernel)):
        yield padded[cuts(tap, window, counts)]


def cuts(tap: tuple[int, ...], window: Window, counts: tuple[int, ...]) -> tuple[slice, ...]:
    """Return where one tap lands: every `stride`-th sample from its dilated offset on."""
    along = (
        slice(t * d, t * d + (count - 1) * s + 1, s)
        for t, d, s, count in zip(tap, window.dilations, window.strides, counts, strict=True)
    )
    return (slice(None), slice(None), *along)
