"""Interval arithmetic on steps: which results a range of values can have, in exact integers.

Every step but `Wrap` and `Lookup` is monotone in the value, so the ends of the range map to the
ends of the result (in either order). Used to prove that accumulators, tables and formats suffice.

An end of a range is a Python int, or an object array of Python ints where parameters differ along
axes; the arrays broadcast like the parameters, against the value without its batch axis.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from nibblefit.errors import GraphError
from nibblefit.fixed.apply import FLOAT32_STEPS, round_float32
from nibblefit.fixed.formats import Rounding
from nibblefit.fixed.steps import (
    Add,
    Clamp,
    Divide,
    Lookup,
    Mul,
    RoundFloat32,
    ShiftLeft,
    ShiftRight,
    Step,
    Steps,
    Wrap,
)

#: A Python int, or an object array of Python ints.
End: TypeAlias = Any
Interval: TypeAlias = tuple[End, End]


def bounds_after(lo: End, hi: End, steps: Steps) -> Interval:
    """Return the smallest and largest result of the steps for values in ``lo … hi``.

    Args:
        lo: Smallest value: an int, or an integer array.
        hi: Largest value: an int, or an integer array of the same shape.
        steps: Applied in order.

    Returns:
        Ints, or object arrays of Python ints where an end or a parameter is an array.

    Raises:
        GraphError: A value can leave a lookup table, or the steps end in float32.
    """
    low, high = _end(lo), _end(hi)
    for step in steps:
        low, high = _after(step, low, high)
    if _is_float32(low):
        raise GraphError("the steps end in float32",
                         hint="end every run of float32 steps with RoundFloat32")  # fmt: skip
    return low, high


def widest_through(lo: End, hi: End, steps: Steps) -> tuple[int, int]:
    """Return the ints that enclose the value before, between and after the steps.

    Float32 values in between do not count; they have no width.
    """
    low, high = _end(lo), _end(hi)
    least, most = hull((low, high))
    for step in steps:
        low, high = _after(step, low, high)
        if not _is_float32(low):
            lowest, highest = hull((low, high))
            least, most = min(least, lowest), max(most, highest)
    return least, most


def _is_float32(end: End) -> bool:
    return isinstance(end, np.ndarray) and end.dtype == np.float32


def hull(interval: Interval) -> tuple[int, int]:
    """Return the ints that enclose an interval, over all entries of its arrays."""
    lo, hi = interval
    return int(np.min(lo)), int(np.max(hi))


def divide_exact(value: int, divisor: int, rounding: Rounding) -> int:
    """Return ``value / divisor`` with the stated rounding, in Python integers of any size."""
    quotient, rest = divmod(value, divisor)
    missing = divisor - rest
    match rounding:
        case Rounding.FLOOR:
            up = False
        case Rounding.TOWARD_ZERO:
            up = quotient < 0 and rest != 0
        case Rounding.HALF_UP:
            up = rest >= missing
        case Rounding.HALF_AWAY:
            up = rest > missing or (rest == missing and quotient >= 0)
        case Rounding.HALF_TOWARD_ZERO:
            up = rest > missing or (rest == missing and quotient < 0)
        case Rounding.HALF_EVEN:
            up = rest > missing or (rest == missing and quotient % 2 == 1)
    return quotient + up


def _end(value: End) -> End:
    """Return an int or an object array of Python ints."""
    if isinstance(value, np.ndarray) and value.ndim:
        return np.array([int(v) for v in value.flat], dtype=object).reshape(value.shape)
    return int(value)


_divide = np.frompyfunc(divide_exact, 3, 1)
_maximum = np.frompyfunc(max, 2, 1)
_minimum = np.frompyfunc(min, 2, 1)


def _after(step: Step, lo: End, hi: End) -> Interval:
    if type(step) in FLOAT32_STEPS:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            ends = [FLOAT32_STEPS[type(step)](step, _as_float32(end)) for end in (lo, hi)]
        return np.asarray(np.minimum(*ends)), np.asarray(np.maximum(*ends))
    if isinstance(step, RoundFloat32):
        rounded = [round_float32(np.asarray(end), step.rounding) for end in (lo, hi)]
        return _end(rounded[0]), _end(rounded[1])
    if isinstance(step, Wrap):
        return _wrapped(step, *hull((lo, hi)))
    if isinstance(step, Lookup):
        return _looked_up(step, *hull((lo, hi)))
    function = _MONOTONE.get(type(step))
    if function is None:
        raise GraphError(f"{type(step).__name__} is not a known step")
    ends = [function(step, lo), function(step, hi)]
    return _minimum(*ends), _maximum(*ends)


def _as_float32(end: End) -> Any:
    if _is_float32(end):
        return end
    # Through int64 as in execution: one rounding, to nearest even.
    return np.asarray(end, dtype=object).astype(np.int64).astype(np.float32)


def _clamp(step: Clamp, end: End) -> End:
    if step.lo is not None:
        end = _maximum(end, step.lo)
    return end if step.hi is None else _minimum(end, step.hi)


#: The end of the result that belongs to one end of the value.
_MONOTONE: dict[type[Step], Callable[[Any, End], End]] = {
    Add: lambda s, x: operator.add(x, _end(s.value)),
    Mul: lambda s, x: operator.mul(x, _end(s.value)),
    ShiftLeft: lambda s, x: operator.mul(x, 2 ** _end(s.bits)),
    ShiftRight: lambda s, x: _divide(x, 2 ** _end(s.bits), s.rounding),
    Divide: lambda s, x: _divide(x, _end(s.divisor), s.rounding),
    Clamp: _clamp,
}


def _wrapped(step: Wrap, lo: int, hi: int) -> tuple[int, int]:
    lowest = -(1 << (step.bits - 1)) if step.signed else 0
    turns = (lo - lowest) >> step.bits
    if turns == (hi - lowest) >> step.bits:
        # All values lie in one turn of the counter, so they only move together.
        return lo - (turns << step.bits), hi - (turns << step.bits)
    return lowest, lowest + (1 << step.bits) - 1


def _looked_up(step: Lookup, lo: int, hi: int) -> tuple[int, int]:
    last = step.lowest + len(step.table) - 1
    if lo < step.lowest or hi > last:
        raise GraphError(
            f"values {lo} to {hi} can reach a lookup table that covers {step.lowest} to {last}",
            hint="clamp before the lookup or extend the table",
        )
    reached = step.table[lo - step.lowest : hi - step.lowest + 1]
    return int(reached.min()), int(reached.max())
