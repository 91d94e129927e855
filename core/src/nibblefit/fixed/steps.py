"""Integer steps: the vocabulary in which every rounding decision of a target is written as data.

A node of a quantized graph computes one exact integer result and then sends it through a tuple of
steps; the same vocabulary aligns its inputs first. Nothing else rounds, clips or rescales, so
reading a node's steps is reading all of its numerics.

A parameter is an int or a read-only integer array. Arrays broadcast against the value *without*
its batch axis, so a per-channel parameter of an image tensor has shape (channels, 1, 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np

from nibblefit.fixed.formats import IntArray, Rounding

#: An integer, or a read-only int64 array broadcast against the value without its batch axis.
IntParam: TypeAlias = int | IntArray
#: Read-only float32 array or scalar; only in the steps that name float32.
FloatParam: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]


class Step:
    """Base of all steps; equality compares parameters by value, arrays included."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(
            _same(getattr(self, f.name), getattr(other, f.name))
            for f in fields(self)  # type: ignore[arg-type]
        )

    def __hash__(self) -> int:
        return hash(type(self).__name__)


def _same(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        a, b = np.asarray(a), np.asarray(b)
        return a.dtype == b.dtype and a.shape == b.shape and bool(np.array_equal(a, b))
    return a == b


def int_param(values: int | Iterable[int] | IntArray) -> IntParam:
    """Return an int unchanged and anything else as a read-only int64 array."""
    if isinstance(values, int | np.integer):
        return int(values)
    array = np.array(values, dtype=np.int64)
    array.flags.writeable = False
    return array


def float_param(values: float | Iterable[float] | FloatParam) -> FloatParam:
    """Return a read-only float32 array."""
    array = np.array(values, dtype=np.float32)
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False, slots=True)
class Add(Step):
    """x + value."""

    value: IntParam


@dataclass(frozen=True, eq=False, slots=True)
class Mul(Step):
    """x · value, exact."""

    value: IntParam


@dataclass(frozen=True, eq=False, slots=True)
class ShiftLeft(Step):
    """x · 2^bits, bits ≥ 0."""

    bits: IntParam


@dataclass(frozen=True, eq=False, slots=True)
class ShiftRight(Step):
    """x / 2^bits with the stated rounding, bits ≥ 0."""

    bits: IntParam
    rounding: Rounding


@dataclass(frozen=True, eq=False, slots=True)
class Divide(Step):
    """x / divisor with the stated rounding, divisor ≥ 1."""

    divisor: IntParam
    rounding: Rounding


@dataclass(frozen=True, eq=False, slots=True)
class Clamp(Step):
    """min(max(x, lo), hi): saturation, and every rectifier with integer bounds.

    A bound of None leaves that side open.
    """

    lo: int | None
    hi: int | None


@dataclass(frozen=True, eq=False, slots=True)
class Wrap(Step):
    """Keep the low `bits` bits of x, read as two's complement (signed) or as plain binary."""

    bits: int
    signed: bool = True


@dataclass(frozen=True, eq=False, slots=True)
class Lookup(Step):
    """table[x − lowest]; the table is one-dimensional and covers every possible x."""

    table: IntArray
    lowest: int


@dataclass(frozen=True, eq=False, slots=True)
class MulFloat32(Step):
    """float32(x) · factor in IEEE-754 binary32, round to nearest even.

    An integer x is first rounded to float32 (nearest even). The value stays float32 until a
    `RoundFloat32`; several of these in a row state an order of operations.
    """

    factor: FloatParam


@dataclass(frozen=True, eq=False, slots=True)
class DivFloat32(Step):
    """float32(x) / divisor in IEEE-754 binary32."""

    divisor: FloatParam


@dataclass(frozen=True, eq=False, slots=True)
class AddFloat32(Step):
    """float32(x) + addend in IEEE-754 binary32."""

    addend: FloatParam


@dataclass(frozen=True, eq=False, slots=True)
class RoundFloat32(Step):
    """Round a float32 value to an integer; values beyond ±2^62 saturate there."""

    rounding: Rounding


Steps: TypeAlias = tuple[Step, ...]

#: Every step by name, in one place: the store, the judge and the engine dispatch on it.
STEP_TYPES: dict[str, type[Step]] = {
    kind.__name__: kind
    for kind in (
        Add, Mul, ShiftLeft, ShiftRight, Divide, Clamp, Wrap, Lookup,
        MulFloat32, DivFloat32, AddFloat32, RoundFloat32,
    )
}  # fmt: skip
