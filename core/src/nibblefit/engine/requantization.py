"""Proof that oneDNN's float32 tail computes a node's integer steps exactly.

The steps of most layers are one staircase: with S the integer sum of products,

    F(S) = clamp(round((M·S + C) / 2^n) + z, L, H).

oneDNN computes ``G(S) = saturate(rint(clip(S·s + b)))`` in float32, rounding ties to even. With
``s = M / 2^n`` and ``b = (C + z·2^n) / 2^n + e`` the two agree where S·s + b is exact in float32:

* round half up: ``e = 2^−(n+1)``, half of the finest step. All values then lie half a step off
  every tie, and the ties themselves have moved above the middle, so they go up.
* floor: the same, less one half.
* half even: ``e = 0`` (and z even, or ties would change parity).
* half toward zero: ``e = −2^−(n+1)``, so that ties go down.
* Half away, half toward and toward zero (as half up, as above, as floor): only if negative values
  end in the lower clamp.

Exact in float32 means: all values are multiples of one power of two and below 2^24 of them. Sums
beyond that zone round, but every operation of G is monotone, so it suffices that F has reached its
clamp at the end of the zone: everything beyond saturates to the same code. docs/engine.md derives
all of this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch

from nibblefit.engine.onednn import Tail
from nibblefit.engine.ranges import FLOAT32_EXACT, LIMITS, Range, clamp
from nibblefit.fixed.formats import Rounding
from nibblefit.fixed.intervals import divide_exact
from nibblefit.fixed.steps import Add, Clamp, IntParam, Mul, ShiftLeft, ShiftRight, Step, Steps

#: Python integers, one per output channel: no width to overflow.
Integers = npt.NDArray[np.object_]


class NotAStaircaseError(Exception):
    """The steps cannot be computed by the float32 tail; the text says which condition fails."""


@dataclass(slots=True)
class Staircase:
    """The function F of the module text; arrays have one entry per output channel."""

    multiplier: Integers
    offset: Integers
    shift: npt.NDArray[np.int64]
    after: Integers
    rounding: Rounding = Rounding.FLOOR
    is_shifted: bool = False
    lowest: Integers | None = None
    highest: Integers | None = None

    @staticmethod
    def of(steps: Steps, bias: npt.NDArray[np.int64], axes: int) -> Staircase:
        """Return the staircase of a node's steps.

        Args:
            steps: From the sum, bias included, to the code.
            bias: Integer bias per output channel, part of the sum.
            axes: Axes behind the channel axis, by which array parameters are read.
        """
        channels = len(bias)
        stairs = Staircase(
            np.full(channels, 1, dtype=object),
            bias.astype(object),
            np.zeros(channels, dtype=np.int64),
            np.full(channels, 0, dtype=object),
        )
        for step in steps:
            stairs.take(step, axes)
        return stairs

    def take(self, step: Step, axes: int) -> None:
        """Append one step."""
        if isinstance(step, Add):
            self._add(self._per_channel(step.value, axes))
        elif isinstance(step, Clamp):
            self._clamp(step)
        elif isinstance(step, ShiftRight):
            self._round(self._per_channel(step.bits, axes).astype(np.int64), step.rounding)
        elif isinstance(step, ShiftLeft):
            self._multiply(2 ** self._per_channel(step.bits, axes))
        elif isinstance(step, Mul):
            self._multiply(self._per_channel(step.value, axes))
        else:
            raise NotAStaircaseError(f"{type(step).__name__} is no part of a staircase")

    def _per_channel(self, values: IntParam, axes: int) -> Integers:
        channels = len(self.shift)
        try:
            spread = np.broadcast_to(np.asarray(values), (channels, *(1,) * axes))
        except ValueError:
            raise NotAStaircaseError("a parameter varies within a channel") from None
        return np.array([int(v) for v in spread.reshape(channels)], dtype=object)

    def _map_bounds(self, change: Callable[[Integers], Integers]) -> None:
        self.lowest = None if self.lowest is None else change(self.lowest)
        self.highest = None if self.highest is None else change(self.highest)

    def _add(self, value: Integers) -> None:
        if self.is_shifted:
            self.after = self.after + value
        else:
            self.offset = self.offset + value
        self._map_bounds(lambda bound: bound + value)

    def _multiply(self, factor: Integers) -> None:
        if self.is_shifted or not (factor >= 1).all():
            raise NotAStaircaseError("a multiplication follows the shift or is not positive")
        self.multiplier = self.multiplier * factor
        self.offset = self.offset * factor
        self._map_bounds(lambda bound: bound * factor)

    def _round(self, bits: npt.NDArray[np.int64], rounding: Rounding) -> None:
        if self.is_shifted:
            raise NotAStaircaseError("there are two shifts")
        self.shift, self.rounding, self.is_shifted = bits, rounding, True
        divisors = [1 << int(n) for n in bits]

        def shifted(bound: Integers) -> Integers:
            pairs = zip(bound, divisors, strict=True)
            return np.array([divide_exact(v, d, rounding) for v, d in pairs], dtype=object)

        self._map_bounds(shifted)

    def _clamp(self, step: Clamp) -> None:
        if step.lo is not None and step.hi is not None and step.lo > step.hi:
            raise NotAStaircaseError("a clamp's bounds cross")

        def one(bound: Integers | None, end: int | None) -> Integers | None:
            if bound is None:
                return None if end is None else np.full(len(self.shift), end, dtype=object)
            return np.array([clamp(Range(v, v), step.lo, step.hi).lo for v in bound], dtype=object)

        self.lowest, self.highest = one(self.lowest, step.lo), one(self.highest, step.hi)

    def value(self, channel: int, total: int) -> int:
        """Return F for one channel and one sum, in exact integers."""
        raw = int(self.multiplier[channel]) * total + int(self.offset[channel])
        code = divide_exact(raw, 1 << int(self.shift[channel]), self.rounding)
        code += int(self.after[channel])
        lo = None if self.lowest is None else int(self.lowest[channel])
        hi = None if self.highest is None else int(self.highest[channel])
        return clamp(Range(code, code), lo, hi).lo


def fuse(stairs: Staircase, sums: list[Range], result: Range) -> Tail:
    """Return the float32 tail that equals the staircase.

    Args:
        stairs: The node's steps.
        sums: Range of the plain sum of products (no bias) per output channel.
        result: Range of the node's codes.

    Raises:
        NotAStaircaseError: Some condition of the proof fails; the text says which.
    """
    low, high = _uniform(stairs.lowest), _uniform(stairs.highest)
    dtype, clip = _saturation(low, high, result)
    scales, biases = [], []
    for channel, reach in enumerate(sums):
        scale, bias, grid = _line(stairs, channel, low)
        zone = _exact_zone(scale, bias, grid, int(stairs.multiplier[channel]))
        _check_ends(stairs, channel, reach, zone)
        scales.append(float(scale))
        biases.append(float(bias))
    return Tail(torch.tensor(scales, dtype=torch.float32),
                torch.tensor(biases, dtype=torch.float32), dtype, clip)  # fmt: skip


def _uniform(bounds: Integers | None) -> int | None:
    if bounds is None:
        return None
    if len(set(bounds)) != 1:
        raise NotAStaircaseError("channels saturate at different codes")
    return int(bounds[0])


def _saturation(
    low: int | None, high: int | None, result: Range
) -> tuple[torch.dtype, tuple[int, int] | None]:
    """Return the output type and the bounds that its own saturation does not already apply."""
    if low == 0 and high == LIMITS[torch.int8].hi:
        return torch.int8, (0, 127)
    for dtype in (torch.uint8, torch.int8):
        limits = LIMITS[dtype]
        if result.within(*limits):
            lo = limits.lo if low is None else max(low, limits.lo)
            hi = limits.hi if high is None else min(high, limits.hi)
            return dtype, None if (lo, hi) == limits else (lo, hi)
    raise NotAStaircaseError(f"codes {result.lo} to {result.hi} do not fit 8 bits")


#: Roundings that depend on the sign, and what each is on numbers without one.
_BY_SIGN = {
    Rounding.HALF_AWAY: Rounding.HALF_UP,
    Rounding.HALF_TOWARD_ZERO: Rounding.HALF_TOWARD_ZERO,
    Rounding.TOWARD_ZERO: Rounding.FLOOR,
}


def _line(stairs: Staircase, channel: int, low: int | None) -> tuple[Fraction, Fraction, Fraction]:
    """Return scale, bias and the power of two of which all values are multiples."""
    n, after = int(stairs.shift[channel]), int(stairs.after[channel])
    unit = Fraction(1, 1 << n)
    rounding = stairs.rounding
    if rounding in _BY_SIGN and n:
        if low is None or low < after:
            raise NotAStaircaseError(f"{rounding.value} rounding reaches negative values")
        rounding = _BY_SIGN[rounding]
    if rounding is Rounding.HALF_EVEN and n and after % 2:
        raise NotAStaircaseError("an odd offset follows rounding half to even")
    shift_up = {Rounding.HALF_UP: unit / 2, Rounding.HALF_TOWARD_ZERO: -unit / 2,
                Rounding.FLOOR: unit / 2 - Fraction(1, 2)}  # fmt: skip
    extra = shift_up.get(rounding, Fraction(0)) if n else Fraction(0)
    scale = int(stairs.multiplier[channel]) * unit
    bias = int(stairs.offset[channel]) * unit + after + extra
    for name, number in (("scale", scale), ("bias", bias)):
        # Below 2^-100 intermediate products could leave the normal float32 numbers.
        if not _is_float32(number) or (number and abs(number) < Fraction(1, 1 << 100)):
            raise NotAStaircaseError(f"the {name} {float(number):g} is not a float32 number")
    return scale, bias, unit / 2 if extra else unit


def _is_float32(number: Fraction) -> bool:
    if abs(number) >= 1 << 100:
        return False
    return Fraction(float(np.float32(float(number)))) == number


def _exact_zone(scale: Fraction, bias: Fraction, grid: Fraction, multiplier: int) -> Range:
    """Return the sums S for which S, S·scale and S·scale + bias are exact in float32."""
    limit = FLOAT32_EXACT * grid
    product = FLOAT32_EXACT // multiplier
    lo = -((limit + bias) / scale).__floor__()
    hi = ((limit - bias) / scale).__floor__()
    return Range(max(lo, -product), min(hi, product))


def _check_ends(stairs: Staircase, channel: int, reach: Range, zone: Range) -> None:
    if zone.lo > zone.hi:
        raise NotAStaircaseError("no sum is exact in float32")
    for end, beyond, bound in (
        (zone.lo, reach.lo < zone.lo, stairs.lowest),
        (zone.hi, reach.hi > zone.hi, stairs.highest),
    ):
        if not beyond:
            continue
        if bound is None or stairs.value(channel, end) != int(bound[channel]):
            raise NotAStaircaseError(
                f"sums from {reach.lo} to {reach.hi} leave the exact zone {zone.lo} … {zone.hi} "
                f"before they saturate"
            )
