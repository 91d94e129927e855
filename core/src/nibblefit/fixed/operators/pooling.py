"""Pooling over windows and over whole images. Averages are sums; dividing is a step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nibblefit.fixed.formats import IntArray
from nibblefit.fixed.geometry import Window
from nibblefit.fixed.operators import product
from nibblefit.fixed.operators.product import Array
from nibblefit.fixed.operators.windows import taps


def max_pool(x: Array, window: Window) -> Array:
    """Return the largest value under each window; padding never wins."""
    lowest: Any = np.iinfo(np.int64).min if product.is_integer(x) else -np.inf
    views = taps(x, window, lowest)
    largest = next(views).copy()
    for view in views:
        np.maximum(largest, view, out=largest)
    return largest


def sum_pool(x: Array, window: Window) -> Array:
    """Return the sum under each window; padding adds zeros."""
    _check_sum(x, math.prod(window.kernel))
    views = taps(x, window)
    total = next(views).copy()
    for view in views:
        total += view
    return total


def global_max_pool(x: Array) -> Array:
    """Return the largest value of each channel; spatial axes stay with size 1."""
    return np.asarray(x.max(axis=tuple(range(2, x.ndim)), keepdims=True))


def global_sum_pool(x: Array) -> Array:
    """Return the sum of each channel; spatial axes stay with size 1."""
    _check_sum(x, math.prod(x.shape[2:]))
    return np.asarray(x.sum(axis=tuple(range(2, x.ndim)), keepdims=True))


def window_counts(sizes: tuple[int, ...], window: Window, count_include_pad: bool) -> IntArray:
    """Return how many samples the average of each window divides by, shape (*positions).

    Without `count_include_pad` only samples of the input count; with it the declared padding
    counts too. What a partial window of `ceil_mode` reaches beyond that never counts.
    """
    inside = np.ones((1, 1, *sizes), dtype=np.int64)
    if not count_include_pad:
        return np.asarray(sum_pool(inside, window)[0, 0])
    pads = list(zip(window.begins(), window.ends(), strict=True))
    padded = np.pad(inside, [(0, 0), (0, 0), *pads], constant_values=1)
    bare = Window(
        window.kernel, window.strides, (0,) * len(window.pads), window.dilations, window.ceil_mode
    )
    counts = sum_pool(padded, bare)[0, 0]
    # Without padding the last partial window may start in what was end padding; it does not exist.
    return np.asarray(counts[tuple(slice(0, n) for n in window.output_sizes(sizes))])


def _check_sum(x: Array, count: int) -> None:
    if product.is_integer(x) and product.largest(x) * count >= product.INT64_LIMIT:
        raise OverflowError(f"a sum of {count} values up to {product.largest(x)} may pass 64 bits")
