"""Exact integer arithmetic on int64 arrays: the primitives under every step and operator.

Parameters are ints or integer arrays that broadcast against the value by numpy's rules. A result
that leaves int64 raises OverflowError; nothing wraps silently.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.fixed.formats import IntArray, Rounding
from nibblefit.fixed.steps import IntParam

INT64_LO = -(1 << 63)
INT64_HI = (1 << 63) - 1
#: Shifts beyond this would need masks wider than int64; no hardware has them.
MAX_SHIFT = 62


def extremes(values: IntParam) -> tuple[int, int]:
    """Return the smallest and largest entry as Python ints; (0, 0) if there is none."""
    if isinstance(values, int):
        return values, values
    if values.size == 0:
        return 0, 0
    return int(values.min()), int(values.max())


def add(raw: IntArray, value: IntParam) -> IntArray:
    """Return ``raw + value``."""
    return _exact(operator.add, raw, value)


def subtract(raw: IntArray, value: IntParam) -> IntArray:
    """Return ``raw − value``."""
    return _exact(operator.sub, raw, value)


def multiply(raw: IntArray, value: IntParam) -> IntArray:
    """Return ``raw · value``."""
    return _exact(operator.mul, raw, value)


def shift_left(raw: IntArray, bits: IntParam) -> IntArray:
    """Return ``raw · 2^bits``, 0 ≤ bits ≤ 62."""
    _check_shift(bits)
    return multiply(raw, 1 << bits if isinstance(bits, int) else np.int64(1) << _vector(bits))


def shift_right(raw: IntArray, bits: IntParam, rounding: Rounding) -> IntArray:
    """Return ``raw / 2^bits`` with the stated rounding, 0 ≤ bits ≤ 62.

    With quotient ⌊raw / 2^bits⌋ and rest 0 ≤ rest < 2^bits, rounding decides whether to add one.
    """
    _check_shift(bits)
    raw, bits = _vector(raw), np.asarray(bits, dtype=np.int64)
    quotient = raw >> bits
    rest = raw & ((np.int64(1) << bits) - 1)
    missing = (np.int64(1) << bits) - rest
    return np.asarray(quotient + _round_up(quotient, rest, missing, rounding))


def divide(raw: IntArray, divisor: IntParam, rounding: Rounding) -> IntArray:
    """Return ``raw / divisor`` with the stated rounding, divisor ≥ 1."""
    if np.size(divisor) and extremes(divisor)[0] < 1:
        raise ValueError(f"divisor is {extremes(divisor)[0]}; expected 1 or more")
    raw, divisors = _vector(raw), np.asarray(divisor, dtype=np.int64)
    quotient = raw // divisors
    rest = raw - quotient * divisors
    return np.asarray(quotient + _round_up(quotient, rest, divisors - rest, rounding))


def _round_up(quotient: IntArray, rest: IntArray, missing: IntArray, rounding: Rounding) -> Any:
    """Return where the floored quotient goes up by one.

    `rest` is the distance down to the quotient and `missing` the distance up to the next integer,
    both in units of the divisor's inverse; they add up to the divisor, and equal means a tie.
    """
    match rounding:
        case Rounding.FLOOR:
            return np.zeros(np.shape(rest), dtype=bool)
        case Rounding.TOWARD_ZERO:
            return (quotient < 0) & (rest != 0)
        case Rounding.HALF_UP:
            return rest >= missing
        case Rounding.HALF_AWAY:
            return (rest > missing) | ((rest == missing) & (quotient >= 0))
        case Rounding.HALF_TOWARD_ZERO:
            return (rest > missing) | ((rest == missing) & (quotient < 0))
        case Rounding.HALF_EVEN:
            return (rest > missing) | ((rest == missing) & (quotient & 1 == 1))


def saturate(raw: IntArray, lo: int | None, hi: int | None) -> IntArray:
    """Return the nearest value in ``lo … hi``; a bound of None leaves that side open."""
    if lo is not None and lo > INT64_LO:
        raw = np.maximum(raw, np.int64(lo))
    if hi is not None and hi < INT64_HI:
        raw = np.minimum(raw, np.int64(hi))
    return raw


def wrap(raw: IntArray, bits: int, signed: bool = True) -> IntArray:
    """Return the low `bits` bits, read as two's complement (signed) or plain binary.

    An unsigned width of 64 does not fit int64 and is refused.
    """
    if not 1 <= bits <= (64 if signed else 63):
        raise ValueError(f"width is {bits} bits; expected 1 to 63, or 64 if signed")
    if bits == 64:
        return raw
    low = raw & np.int64((1 << bits) - 1)
    if not signed:
        return low
    sign = np.int64(1 << (bits - 1))
    # Flipping the sign bit and subtracting it again extends it over the upper bits.
    return (low ^ sign) - sign


def _check_shift(bits: IntParam) -> None:
    lo, hi = extremes(bits)
    if lo < 0 or hi > MAX_SHIFT:
        raise ValueError(f"shift is {lo if lo < 0 else hi}; expected 0 to {MAX_SHIFT}")


def _vector(values: npt.ArrayLike) -> IntArray:
    return np.asarray(values, dtype=np.int64)


def _exact(operation: Callable[[Any, Any], Any], raw: IntArray, value: IntParam) -> IntArray:
    """Apply an operation in int64 if the extremes prove that it fits, else in Python ints."""
    corners = [operation(a, b) for a in extremes(raw) for b in extremes(value)]
    if min(corners) >= INT64_LO and max(corners) <= INT64_HI:
        if isinstance(value, int) and not INT64_LO <= value <= INT64_HI:
            return np.zeros_like(raw)  # only 0 times a huge number stays inside
        return np.asarray(operation(raw, value), dtype=np.int64)
    exact = np.asarray(operation(raw.astype(object), np.asarray(value, dtype=object)))
    lo, hi = min(exact.flat), max(exact.flat)
    if lo < INT64_LO or hi > INT64_HI:
        raise OverflowError(f"a result of {lo if lo < INT64_LO else hi} does not fit 64 bits")
    return exact.astype(np.int64)
