"""Nearest and linear resizing from exact rational positions.

An output index is mapped to an input position as a fraction; nothing is rounded before the choice
of neighbours. ``half_pixel``: (i + ½)·in/out − ½. ``pytorch_half_pixel``: the same, but 0 where the
output has one sample. ``asymmetric``: i·in/out. ``align_corners``: i·(in − 1)/(out − 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from nibblefit.fixed.formats import IntArray
from nibblefit.fixed.operators import product
from nibblefit.fixed.operators.product import Array

_HALF = Fraction(1, 2)


def positions(size: int, size_out: int, coordinates: str) -> list[Fraction]:
    """Return the exact input position of every output index along one axis."""
    if coordinates == "align_corners":
        step = Fraction(size - 1, size_out - 1) if size_out > 1 else Fraction(0)
        return [i * step for i in range(size_out)]
    step = Fraction(size, size_out)
    if coordinates == "asymmetric":
        return [i * step for i in range(size_out)]
    if coordinates == "pytorch_half_pixel" and size_out == 1:
        return [Fraction(0)]
    return [(i + _HALF) * step - _HALF for i in range(size_out)]


def nearest_indices(size: int, size_out: int, coordinates: str, mode: str) -> IntArray:
    """Return the input index that each output index copies, clamped to the input."""
    chosen = [_nearest(p, mode) for p in positions(size, size_out, coordinates)]
    return np.clip(np.array(chosen, dtype=np.int64), 0, size - 1)


def _nearest(position: Fraction, mode: str) -> int:
    match mode:
        case "floor":
            return math.floor(position)
        case "ceil":
            return math.ceil(position)
        case "round_prefer_ceil":
            return math.floor(position + _HALF)
        case _:
            return math.ceil(position - _HALF)


def resize_nearest(x: Array, sizes: Sequence[int], coordinates: str, mode: str) -> Array:
    """Return x (batch, channels, *spatial) resized to `sizes` by copying neighbours."""
    for axis, size_out in enumerate(sizes, start=2):
        indices = nearest_indices(x.shape[axis], size_out, coordinates, mode)
        x = np.take(x, indices, axis=axis)
    return x


def linear_taps(
    size: int, size_out: int, coordinates: str
) -> tuple[IntArray, IntArray, list[Fraction]]:
    """Return lower index, upper index and exact weight of the upper one, per output index.

    Neighbours beyond the input are its border sample.
    """
    where = positions(size, size_out, coordinates)
    lower = np.array([math.floor(p) for p in where], dtype=np.int64)
    clipped = (np.clip(lower, 0, size - 1), np.clip(lower + 1, 0, size - 1))
    return *clipped, [p - math.floor(p) for p in where]


def resize_linear(x: Array, sizes: Sequence[int], coordinates: str, weight_bits: int = 0) -> Array:
    """Return x resized to `sizes`, one axis after the other, by ``lower·(1 − f) + upper·f``.

    Integers use weights of `weight_bits` fractional bits: the upper one is ⌊f·2^bits + ½⌋, the
    lower one 2^bits minus that; the result carries `weight_bits` more fractional bits per axis.
    """
    for axis, size_out in enumerate(sizes, start=2):
        lower, upper, shares = linear_taps(x.shape[axis], size_out, coordinates)
        x = _blend(np.take(x, lower, axis), np.take(x, upper, axis), shares, axis, weight_bits)
    return x


def _blend(
    low: Array, high: Array, shares: Sequence[Fraction], axis: int, weight_bits: int
) -> Array:
    shape = [1] * low.ndim
    shape[axis] = len(shares)
    if not product.is_integer(low):
        weights = np.array([float(f) for f in shares], dtype=low.dtype).reshape(shape)
        return np.asarray(low * (1 - weights) + high * weights)
    one = 1 << weight_bits
    if max(product.largest(low), product.largest(high)) * one >= product.INT64_LIMIT:
        raise OverflowError(f"values with {weight_bits} more fractional bits do not fit 64 bits")
    upper = np.array([math.floor(f * one + _HALF) for f in shares], dtype=np.int64).reshape(shape)
    return np.asarray(low * (one - upper) + high * upper)
