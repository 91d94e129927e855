"""Ranges: the smallest and largest value a tensor can hold, and what integer types follow from it.

All bounds are Python integers, so they are exact at any width.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch

from nibblefit.fixed import apply, arith
from nibblefit.fixed.formats import IntArray, Rounding
from nibblefit.fixed.intervals import divide_exact
from nibblefit.fixed.steps import (
    Add,
    AddFloat32,
    Clamp,
    DivFloat32,
    Divide,
    IntParam,
    Lookup,
    Mul,
    MulFloat32,
    RoundFloat32,
    ShiftLeft,
    ShiftRight,
    Step,
    Wrap,
)

#: Largest magnitude up to which a float type holds every integer.
FLOAT32_EXACT = 1 << 24
FLOAT64_EXACT = 1 << 53


class UnprovableError(Exception):
    """The range analysis cannot show that a node stays inside int64; the judge executes it."""


class Range(NamedTuple):
    """Every value v satisfies ``lo <= v <= hi``."""

    lo: int
    hi: int

    @property
    def magnitude(self) -> int:
        """Largest possible absolute value."""
        return max(abs(self.lo), abs(self.hi))

    def within(self, lo: int, hi: int) -> bool:
        """Return whether the whole range lies in ``lo … hi``."""
        return lo <= self.lo and self.hi <= hi


INT64 = Range(arith.INT64_LO, arith.INT64_HI)

_INTEGER_TYPES = (
    (torch.uint8, Range(0, 255)),
    (torch.int8, Range(-128, 127)),
    (torch.int16, Range(-(1 << 15), (1 << 15) - 1)),
    (torch.int32, Range(-(1 << 31), (1 << 31) - 1)),
    (torch.int64, INT64),
)
LIMITS: dict[torch.dtype, Range] = dict(_INTEGER_TYPES)


def hull(ranges: Iterable[Range]) -> Range:
    """Return the smallest range around all of them."""
    lows, highs = zip(*ranges, strict=True)
    return Range(min(lows), max(highs))


def storage_type(values: Range) -> torch.dtype:
    """Return the smallest integer type that holds the range."""
    return _first_type(values, _INTEGER_TYPES)


def working_type(values: Range) -> torch.dtype:
    """Return the smallest type for arithmetic: int16, int32 or int64."""
    return _first_type(values, _INTEGER_TYPES[2:])


def _first_type(values: Range, types: Iterable[tuple[torch.dtype, Range]]) -> torch.dtype:
    for dtype, limits in types:
        if values.within(*limits):
            return dtype
    raise UnprovableError(f"values from {values.lo} to {values.hi} may not fit 64 bits")


def of_array(values: IntArray) -> Range:
    """Return the range of actual values; an empty array counts as zero."""
    return Range(*arith.extremes(values))


def of_parameter(parameter: IntParam) -> Range:
    """Return the range of a step's integer parameter."""
    return Range(*arith.extremes(parameter))


def corners(operation: Callable[[int, int], int], a: Range, b: Range) -> Range:
    """Return the range of an operation that is monotone in each operand (+, −, ·)."""
    found = [operation(x, y) for x, y in itertools.product(a, b)]
    return Range(min(found), max(found))


def _divided(values: Range, divisors: Range, rounding: Rounding) -> Range:
    return corners(lambda x, d: divide_exact(x, d, rounding), values, divisors)


def _shifted(values: Range, bits: Range, rounding: Rounding) -> Range:
    return _divided(values, Range(1 << bits.lo, 1 << bits.hi), rounding)


def _wrapped(step: Wrap, values: Range) -> Range:
    lo = -(1 << (step.bits - 1)) if step.signed else 0
    limits = Range(lo, lo + (1 << step.bits) - 1)
    return values if values.within(*limits) else limits


def clamp(values: Range, lo: int | None, hi: int | None) -> Range:
    """Return the range after ``min(max(v, lo), hi)``."""

    def one(value: int) -> int:
        above = value if lo is None else max(value, lo)
        return above if hi is None else min(above, hi)

    return Range(one(values.lo), one(values.hi))


def of_lookup(table: IntArray, lowest: int, values: Range) -> Range:
    """Return the range of the table's reachable entries.

    Raises:
        UnprovableError: A value may lie outside the table.
    """
    if not values.within(lowest, lowest + len(table) - 1):
        raise UnprovableError(f"a value of {values.lo} … {values.hi} may leave its lookup table")
    return of_array(table[values.lo - lowest : values.hi - lowest + 1])


_INTEGER: dict[type[Step], Callable[[Any, Range], Range]] = {
    Add: lambda s, r: corners(lambda x, v: x + v, r, of_parameter(s.value)),
    Mul: lambda s, r: corners(lambda x, v: x * v, r, of_parameter(s.value)),
    ShiftLeft: lambda s, r: corners(lambda x, v: x << v, r, of_parameter(s.bits)),
    ShiftRight: lambda s, r: _shifted(r, of_parameter(s.bits), s.rounding),
    Divide: lambda s, r: _divided(r, of_parameter(s.divisor), s.rounding),
    Clamp: lambda s, r: clamp(r, s.lo, s.hi),
    Wrap: _wrapped,
    Lookup: lambda s, r: of_lookup(s.table, s.lowest, r),
}


class FloatRange(NamedTuple):
    """Range of a value between the first float32 step and its `RoundFloat32`."""

    lo: float
    hi: float


_FLOAT: dict[type[Step], Callable[[Any, Any], Any]] = {
    MulFloat32: lambda s, x: x * s.factor,
    DivFloat32: lambda s, x: x / s.divisor,
    AddFloat32: lambda s, x: x + s.addend,
}


def after_step(values: Range | FloatRange, step: Step) -> Range | FloatRange:
    """Return the range after one step; rounding is monotone, so end points suffice.

    Raises:
        UnprovableError: A result may leave int64, a table, or the finite float32 numbers.
    """
    if type(step) in _FLOAT:
        return _after_float(values, step)
    if isinstance(step, RoundFloat32) and isinstance(values, FloatRange):
        ends = apply.round_float32(np.array(values, dtype=np.float32), step.rounding)
        return Range(*map(int, ends))
    if isinstance(values, FloatRange) or type(step) not in _INTEGER:
        raise UnprovableError(f"{type(step).__name__} cannot act on a float32 value")
    result = _INTEGER[type(step)](step, values)
    if not result.within(*INT64):
        raise UnprovableError(f"{type(step).__name__} may leave 64 bits")
    return result


def _after_float(values: Range | FloatRange, step: Step) -> FloatRange:
    # A factor of either sign, and one per channel: the extremes are among ends × parameters.
    ends = np.array(values, dtype=np.float32 if isinstance(values, FloatRange) else np.int64)
    with np.errstate(all="ignore"):
        found = [_FLOAT[type(step)](step, end) for end in ends.astype(np.float32)]
    if not np.isfinite(found).all():
        raise UnprovableError("a float32 step may leave the finite numbers")
    return FloatRange(float(np.min(found)), float(np.max(found)))
