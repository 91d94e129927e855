"""Applying steps to values: the meaning of every step type, in the order they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.errors import GraphError
from nibblefit.fixed import arith
from nibblefit.fixed.formats import IntArray, Rounding
from nibblefit.fixed.rounding import round_real
from nibblefit.fixed.steps import (
    Add,
    AddFloat32,
    Clamp,
    DivFloat32,
    Divide,
    Lookup,
    Mul,
    MulFloat32,
    RoundFloat32,
    ShiftLeft,
    ShiftRight,
    Step,
    Steps,
    Wrap,
)

Value = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]

#: Float32 values beyond this magnitude saturate when they become integers again.
ROUND_LIMIT = 2.0**62


def apply_steps(value: IntArray, steps: Steps) -> IntArray:
    """Return the value after all steps.

    Args:
        value: int64, batch axis first. Array parameters broadcast against the other axes.
        steps: In order. Between the first float32 step and the next `RoundFloat32` the value is
            float32; an integer becomes float32 by round to nearest even (``astype``).

    Raises:
        GraphError: Integer and float32 steps are mixed without `RoundFloat32`, a value leaves a
            lookup table, or a float32 value is not a number.
        OverflowError: A result does not fit int64.
    """
    result: Value = value
    for step in steps:
        result = _apply(step, result)
    if result.dtype != np.int64:
        raise GraphError(
            "the steps end in float32", hint="end every run of float32 steps with RoundFloat32"
        )
    return result


def _apply(step: Step, value: Value) -> Value:
    if type(step) in FLOAT32_STEPS:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return FLOAT32_STEPS[type(step)](step, value.astype(np.float32))
    if isinstance(step, RoundFloat32):
        if value.dtype != np.float32:
            raise GraphError("RoundFloat32 met an integer; expected a float32 value")
        return round_float32(value, step.rounding)
    if type(step) not in INTEGER_STEPS:
        raise GraphError(f"{type(step).__name__} is not a known step")
    if value.dtype != np.int64:
        raise GraphError(f"{type(step).__name__} met a float32 value; expected integers",
                         hint="put RoundFloat32 before it")  # fmt: skip
    return INTEGER_STEPS[type(step)](step, value)


def round_float32(value: Float32Array, rounding: Rounding) -> IntArray:
    """Return float32 values as int64, rounded as stated, saturated at ±2^62.

    Raises:
        GraphError: A value is not a number.
    """
    if np.isnan(value).any():
        raise GraphError(
            "a float32 step made a value that is not a number",
            hint="check the factors: an infinite value was multiplied by zero",
        )
    wide = np.clip(value.astype(np.float64), -ROUND_LIMIT, ROUND_LIMIT)
    return round_real(wide, rounding).astype(np.int64)


def lookup(table: IntArray, lowest: int, value: IntArray) -> IntArray:
    """Return ``table[value − lowest]``; GraphError if a value lies outside the table."""
    lo, hi = arith.extremes(value)
    if value.size and (lo < lowest or hi >= lowest + len(table)):
        wrong = lo if lo < lowest else hi
        raise GraphError(
            f"value {wrong} lies outside its lookup table, which covers {lowest} to "
            f"{lowest + len(table) - 1}",
            hint="clamp before the lookup or extend the table",
        )
    return np.asarray(table[value - lowest])


INTEGER_STEPS: dict[type[Step], Callable[[Any, IntArray], IntArray]] = {
    Add: lambda s, x: arith.add(x, s.value),
    Mul: lambda s, x: arith.multiply(x, s.value),
    ShiftLeft: lambda s, x: arith.shift_left(x, s.bits),
    ShiftRight: lambda s, x: arith.shift_right(x, s.bits, s.rounding),
    Divide: lambda s, x: arith.divide(x, s.divisor, s.rounding),
    Clamp: lambda s, x: arith.saturate(x, s.lo, s.hi),
    Wrap: lambda s, x: arith.wrap(x, s.bits, s.signed),
    Lookup: lambda s, x: lookup(s.table, s.lowest, x),
}

FLOAT32_STEPS: dict[type[Step], Callable[[Any, Float32Array], Float32Array]] = {
    MulFloat32: lambda s, x: np.asarray(x * s.factor, dtype=np.float32),
    DivFloat32: lambda s, x: np.asarray(x / s.divisor, dtype=np.float32),
    AddFloat32: lambda s, x: np.asarray(x + s.addend, dtype=np.float32),
}
