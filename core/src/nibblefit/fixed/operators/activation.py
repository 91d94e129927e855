"""Rectifiers, gates and tables on integers."""

from __future__ import annotations

import numpy as np

from nibblefit.fixed import arith
from nibblefit.fixed.apply import apply_steps
from nibblefit.fixed.formats import IntArray
from nibblefit.fixed.operators.product import Array
from nibblefit.fixed.steps import Steps


def relu(x: Array) -> Array:
    """Return ``max(x, 0)``."""
    positive: Array = np.maximum(x, x.dtype.type(0))
    return positive


def clip(x: Array, lo: float | None, hi: float | None) -> Array:
    """Return ``min(max(x, lo), hi)``; a bound of None leaves that side open."""
    if lo is not None:
        x = np.maximum(x, x.dtype.type(lo))
    if hi is not None:
        x = np.minimum(x, x.dtype.type(hi))
    return x


def absolute(x: Array) -> Array:
    """Return ``|x|``; OverflowError for the one code whose magnitude does not fit int64."""
    if x.dtype == np.int64 and arith.extremes(x)[0] == arith.INT64_LO:
        raise OverflowError(f"the magnitude of {arith.INT64_LO} does not fit 64 bits")
    return np.abs(x)


def leaky_relu(x: IntArray, negative: Steps, positive: Steps) -> IntArray:
    """Return ``positive(x)`` where x ≥ 0 and ``negative(x)`` elsewhere.

    Both tuples of steps also see zero, in place of the values of the other side.
    """
    kept = apply_steps(np.maximum(x, 0), positive)
    return np.where(x >= 0, kept, apply_steps(np.minimum(x, 0), negative))


def prelu(x: IntArray, slope: IntArray, negative: Steps, positive: Steps) -> IntArray:
    """Return ``positive(x)`` where x ≥ 0 and ``negative(x · slope)`` elsewhere.

    One slope per channel, or one for all.
    """
    kept = apply_steps(np.maximum(x, 0), positive)
    product = arith.multiply(np.minimum(x, 0), slope.reshape(-1, *(1,) * (x.ndim - 2)))
    return np.where(x >= 0, kept, apply_steps(product, negative))


def hard_sigmoid(x: IntArray, three: int, six: int) -> IntArray:
    """Return ``clamp(x + three, 0, six)``, with three and six in steps of x."""
    return arith.saturate(arith.add(x, three), 0, six)


def hard_swish(x: IntArray, three: int, six: int, gate: Steps) -> IntArray:
    """Return ``x · gate(clamp(x + three, 0, six))``."""
    return arith.multiply(x, apply_steps(hard_sigmoid(x, three, six), gate))
