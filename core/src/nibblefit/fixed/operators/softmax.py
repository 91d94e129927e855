"""Softmax over a table of exponentials, and argmax."""

from __future__ import annotations

import numpy as np

from nibblefit.fixed import arith
from nibblefit.fixed.formats import IntArray, Rounding
from nibblefit.fixed.operators.product import Array


def softmax(
    x: IntArray, table: IntArray, axis: int, numerator: int, rounding: Rounding
) -> IntArray:
    """Return ``e · numerator / Σ e`` with ``e = table[m − x]`` and m the largest x over `axis`.

    Distances beyond the table read its last entry. ``table[0]`` must be positive, so that the sum
    is.
    """
    distance = arith.subtract(x.max(axis=axis, keepdims=True), x)
    exponentials = table[np.minimum(distance, len(table) - 1)]
    total = exponentials.sum(axis=axis, keepdims=True)
    return arith.divide(arith.multiply(exponentials, numerator), total, rounding)


def argmax(x: Array, axis: int, keepdims: bool) -> IntArray:
    """Return the index of the largest value along `axis`; the first of equals."""
    return np.asarray(np.argmax(x, axis=axis, keepdims=keepdims), dtype=np.int64)
