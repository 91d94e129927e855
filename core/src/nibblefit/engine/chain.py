"""Chains: a tuple of steps compiled into few vectorised passes over a tensor.

A run of integer steps works in one integer type, the narrowest that holds every intermediate value
its range allows, roundings included. Neighbouring additions and clamps merge, and steps that the
range proves idle vanish. Float32 steps work in float32, operation by operation, as written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nibblefit.engine.ranges import (
    INT64,
    FloatRange,
    Range,
    UnprovableError,
    after_step,
    hull,
    of_array,
    of_parameter,
    storage_type,
    working_type,
)
from nibblefit.engine.rounding import Maker, Pass, Recipe, constant, divide_recipe, shift_recipe
from nibblefit.fixed.apply import ROUND_LIMIT
from nibblefit.fixed.formats import Rounding
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
    int_param,
)

#: Wider shifts are cut to the value's width instead, which needs no wide type.
_SPLIT_BITS = 24


@dataclass(frozen=True, slots=True)
class Segment:
    """Passes in one element type, entered by a conversion if the value has another type."""

    dtype: torch.dtype
    passes: tuple[Pass, ...]

    def __call__(self, value: Tensor, owned: bool) -> tuple[Tensor, bool]:
        if value.dtype != self.dtype:
            value, owned = value.to(self.dtype), True
        for one in self.passes:
            value, owned = one(value, value if owned else None), True
        return value, owned


@dataclass(frozen=True, slots=True)
class Chain:
    """Compiled steps.

    Attributes:
        segments: Executed in order.
        result: Range of the result.
        dtype: Element type of the result.
    """

    segments: tuple[Segment, ...]
    result: Range
    dtype: torch.dtype

    def __call__(self, value: Tensor, owned: bool = False) -> Tensor:
        """Return the value after all steps; `owned` allows overwriting it."""
        for segment in self.segments:
            value, owned = segment(value, owned)
        return value if value.dtype == self.dtype else value.to(self.dtype)

    @property
    def entry(self) -> torch.dtype:
        """Element type in which the first segment works; the result's if there is none."""
        return self.segments[0].dtype if self.segments else self.dtype


@dataclass(slots=True)
class _Builder:
    """Integer steps of one segment collected so far, with everything their type must hold."""

    seen: list[Range] = field(default_factory=list)
    makers: list[Callable[[torch.dtype], Pass]] = field(default_factory=list)

    def finish(self) -> Segment:
        dtype = working_type(hull(self.seen))
        return Segment(dtype, tuple(make(dtype) for make in self.makers))


def compile_steps(
    steps: Steps, source: Range, dtype: torch.dtype | None = None, entry: Range | None = None
) -> Chain:
    """Return the steps as a chain for values of range `source`.

    Args:
        steps: Integer and float32 steps, in order.
        source: Every value's range before them.
        dtype: Element type of the result; None for the smallest that holds it.
        entry: A range that the first segment's type must hold too, so that the producer can work
            in that type already.

    Raises:
        UnprovableError: Some intermediate value may leave int64.
    """
    segments: list[Segment] = []
    current: Range | FloatRange = source
    builder = _Builder([source, *([entry] if entry else [])])
    for step in _merged(steps, source):
        if isinstance(step, MulFloat32 | DivFloat32 | AddFloat32):
            if isinstance(current, Range) and builder.makers:
                segments.append(builder.finish())
            segments.append(_float_segment(step))
            current, builder = after_step(current, step), _Builder()
        elif isinstance(step, RoundFloat32):
            segments.append(_round_segment(step, current))
            current = after_step(current, step)
            builder = _Builder([_as_integers(current)])
        else:
            current = _add_integer_step(builder, step, _as_integers(current))
    result = _as_integers(current)
    if builder.makers:
        segments.append(builder.finish())
    return Chain(tuple(segments), result, dtype or storage_type(result))


def _as_integers(values: Range | FloatRange) -> Range:
    if isinstance(values, FloatRange):
        raise UnprovableError("the steps mix integers and float32 without RoundFloat32")
    return values


def _add_integer_step(builder: _Builder, step: Step, values: Range) -> Range:
    result = after_step(values, step)
    assert isinstance(result, Range)  # integer steps of an integer range
    needed, make = _INTEGER[type(step)](step, values)
    if make is not None:
        builder.makers.append(make)
        builder.seen.extend((result, *needed))
        if not hull(builder.seen).within(*INT64):
            raise UnprovableError(
                f"an intermediate value of {type(step).__name__} may leave 64 bits"
            )
    return result


def _merged(steps: Steps, source: Range) -> list[Step]:
    """Join neighbouring additions and neighbouring clamps; see `_split`.

    Raises:
        UnprovableError: An intermediate value of the steps as written may leave int64.
    """
    current: Range | FloatRange = source
    for step in steps:
        current = after_step(current, step)
    found: list[Step] = []
    for step in (part for whole in steps for part in _split(whole)):
        last = found[-1] if found else None
        if isinstance(step, Add) and isinstance(last, Add):
            found[-1] = _joined_addition(last, step)
        elif isinstance(step, Clamp) and isinstance(last, Clamp):
            found[-1] = _joined_clamp(last, step)
        else:
            found.append(step)
    return found


def _split(step: Step) -> tuple[Step, ...]:
    """Write a shift that rounds half up as addition and floor, so that the addition can merge."""
    if not isinstance(step, ShiftRight) or step.rounding is not Rounding.HALF_UP:
        return (step,)
    bits = np.asarray(step.bits, dtype=np.int64)
    if bits.max(initial=0) > _SPLIT_BITS:
        return (step,)
    half = int_param((np.int64(1) << bits) >> 1)
    return Add(half), ShiftRight(step.bits, Rounding.FLOOR)


def _joined_addition(first: Add, second: Add) -> Add:
    total = np.asarray(
        np.asarray(first.value, dtype=object) + np.asarray(second.value, dtype=object)
    )
    if not all(INT64.lo <= v <= INT64.hi for v in total.flat):
        raise UnprovableError("added constants may leave 64 bits")
    return Add(int(total.item()) if total.ndim == 0 else int_param(total.astype(np.int64)))


def _joined_clamp(first: Clamp, second: Clamp) -> Clamp:
    def then(value: int | None) -> int | None:
        if value is None:
            return None
        value = value if second.lo is None else max(value, second.lo)
        return value if second.hi is None else min(value, second.hi)

    lo = second.lo if first.lo is None else then(_below(first))
    hi = second.hi if first.hi is None else then(first.hi)
    return Clamp(lo, hi)


def _below(clamp: Clamp) -> int | None:
    """Return what the clamp makes of very small values; `hi` wins where the bounds cross."""
    if clamp.lo is None or clamp.hi is None:
        return clamp.lo
    return min(clamp.lo, clamp.hi)


def _addition(step: Add, _: Range) -> Recipe:
    needed = of_parameter(step.value)
    if needed == Range(0, 0):
        return (), None

    def make(dtype: torch.dtype) -> Pass:
        value = constant(np.asarray(step.value), dtype)
        return lambda x, out: torch.add(x, value, out=out)

    return (needed,), make


def _product(step: Mul, _: Range) -> Recipe:
    needed = of_parameter(step.value)
    if needed == Range(1, 1):
        return (), None

    def make(dtype: torch.dtype) -> Pass:
        value = constant(np.asarray(step.value), dtype)
        return lambda x, out: torch.mul(x, value, out=out)

    return (needed,), make


def _left(step: ShiftLeft, values: Range) -> Recipe:
    factor = np.int64(1) << np.asarray(step.bits, dtype=np.int64)
    return _product(Mul(int(factor) if factor.ndim == 0 else factor), values)


def _right(step: ShiftRight, values: Range) -> Recipe:
    return shift_recipe(np.asarray(step.bits, dtype=np.int64), step.rounding, values)


def _division(step: Divide, values: Range) -> Recipe:
    return divide_recipe(np.asarray(step.divisor, dtype=np.int64), step.rounding, values)


def _clamp(step: Clamp, values: Range) -> Recipe:
    lo = step.lo if step.lo is not None and step.lo > values.lo else None
    hi = step.hi if step.hi is not None and step.hi < values.hi else None
    if lo is None and hi is None:
        return (), None
    bounds = [Range(b, b) for b in (lo, hi) if b is not None]
    return bounds, lambda _: lambda x, out: torch.clamp(x, lo, hi, out=out)


def _wrap(step: Wrap, values: Range) -> Recipe:
    lo = -(1 << (step.bits - 1)) if step.signed else 0
    limits = Range(lo, lo + (1 << step.bits) - 1)
    if values.within(*limits):
        return (), None
    mask = limits.hi - limits.lo

    def make(_: torch.dtype) -> Pass:
        def one(x: Tensor, out: Tensor | None) -> Tensor:
            low = torch.bitwise_and(x, mask, out=out)
            # Flipping the sign bit and subtracting it again extends it over the upper bits.
            return low.bitwise_xor_(-lo).add_(lo) if step.signed else low

        return one

    return (limits, Range(0, mask)), make


def _lookup(step: Lookup, _: Range) -> Recipe:
    return (of_array(step.table),), lookup_pass(step.table, step.lowest)


def lookup_pass(table: np.ndarray[Any, Any], lowest: int) -> Maker:
    """Return how to make the pass ``table[x − lowest]``."""

    def make(dtype: torch.dtype) -> Pass:
        entries = torch.from_numpy(np.array(table)).to(dtype)

        def one(x: Tensor, _: Tensor | None) -> Tensor:
            index = x.long()
            return torch.take(entries, index - lowest if lowest else index)

        return one

    return make


_INTEGER: dict[type[Step], Callable[[Any, Range], Recipe]] = {
    Add: _addition,
    Mul: _product,
    ShiftLeft: _left,
    ShiftRight: _right,
    Divide: _division,
    Clamp: _clamp,
    Wrap: _wrap,
    Lookup: _lookup,
}


def _float_segment(step: MulFloat32 | DivFloat32 | AddFloat32) -> Segment:
    if isinstance(step, MulFloat32):
        factor = _float_parameter(step.factor)
        return Segment(torch.float32, (lambda x, out: torch.mul(x, factor, out=out),))
    if isinstance(step, DivFloat32):
        divisor = _float_parameter(step.divisor)
        return Segment(torch.float32, (lambda x, out: torch.div(x, divisor, out=out),))
    addend = _float_parameter(step.addend)
    return Segment(torch.float32, (lambda x, out: torch.add(x, addend, out=out),))


def _float_parameter(values: np.ndarray[Any, Any]) -> Tensor:
    # One axis at least: a division by a scalar may become a multiplication by its reciprocal.
    return torch.from_numpy(np.array(values, dtype=np.float32, ndmin=1))


def _round_segment(step: RoundFloat32, values: Range | FloatRange) -> Segment:
    dtype = working_type(_as_integers(after_step(values, step)))
    limit = ROUND_LIMIT if max(abs(values.lo), abs(values.hi)) > ROUND_LIMIT else None

    def one(x: Tensor, _: Tensor | None) -> Tensor:
        if limit is not None:
            x = torch.clamp(x, -limit, limit)
        return _ROUND[step.rounding](x).to(dtype)

    return Segment(torch.float32, (one,))


#: Halves are added in float64, where they are exact wherever they can decide.
_ROUND: dict[Rounding, Callable[[Tensor], Tensor]] = {
    Rounding.FLOOR: torch.floor,
    Rounding.TOWARD_ZERO: torch.trunc,
    Rounding.HALF_UP: lambda x: x.double().add_(0.5).floor_(),
    Rounding.HALF_AWAY: lambda x: x.double().abs().add_(0.5).floor_().copysign_(x.double()),
    Rounding.HALF_TOWARD_ZERO: lambda x: x.double().abs().sub_(0.5).ceil_().copysign_(x.double()),
    Rounding.HALF_EVEN: torch.round,
}
