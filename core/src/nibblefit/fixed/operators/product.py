"""Exact sums of products, the one primitive under convolutions and linear layers.

Integer sums are computed in float64 where that provably is integer arithmetic: while
``max|x| · Σ|w|`` stays below 2^53, every product and every partial sum, in whatever order, is an
integer that float64 holds exactly. Otherwise in int64 below 2^63, and beyond in Python integers.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nibblefit.fixed import arith

#: int64 (exact) or float64 (float reference); results keep the dtype.
Array: TypeAlias = npt.NDArray[Any]

#: float64 represents every integer up to this magnitude.
FLOAT64_EXACT = 1 << 53
INT64_LIMIT = 1 << 63


def matmul(a: Array, b: Array) -> Array:
    """Return ``a @ b``, exact for int64; OverflowError if a result does not fit int64."""
    if not is_integer(a):
        return np.asarray(np.matmul(a, b))
    kind = exact_dtype(sum_bound(a, b, axis=-2))
    return to_int64(np.matmul(a.astype(kind), b.astype(kind)))


def sum_bound(x: Array, weights: Array, axis: int | tuple[int, ...]) -> int:
    """Return ``max|x| · max Σ|weights|`` summed over `axis`: a bound on every partial sum."""
    if x.size == 0 or weights.size == 0:
        return 0
    largest_x, largest_w = largest(x), largest(weights)
    if weights.size * largest_w >= INT64_LIMIT:
        return largest_x * largest_w * weights.size
    return largest_x * int(np.abs(weights).sum(axis=axis).max())


def exact_dtype(bound: int) -> npt.DTypeLike:
    """Return the fastest dtype in which integer sums up to `bound` are exact."""
    if bound < FLOAT64_EXACT:
        return np.float64
    return np.int64 if bound < INT64_LIMIT else np.object_


def to_int64(sums: Array) -> Array:
    """Return integer-valued sums as int64; OverflowError if one does not fit."""
    if sums.dtype == np.object_:
        worst = max((abs(value) for value in sums.flat), default=0)
        if worst >= INT64_LIMIT:
            raise OverflowError(f"a sum of magnitude {worst} does not fit 64 bits")
    return sums.astype(np.int64, copy=False)


def add(a: Array, b: Array) -> Array:
    """Return ``a + b``, exact for int64; OverflowError if a result does not fit int64."""
    return arith.add(a, b) if is_integer(a) else np.asarray(a + b)


def is_integer(values: Array) -> bool:
    """Return whether the array holds codes rather than real numbers."""
    return values.dtype == np.int64


def largest(values: Array) -> int:
    """Return the largest magnitude as a Python int."""
    lo, hi = arith.extremes(values)
    return max(-lo, hi)
