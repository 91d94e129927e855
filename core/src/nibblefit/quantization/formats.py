"""Which formats a rule allows, and the one that covers a range."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import Format, Scale
from nibblefit.ir.numerics import ScaleKind, Signedness, TensorRule

#: Fractional bits stay in this range, so that scales are ordinary float32 numbers.
FRAC_LIMIT = 64


def width(rule: TensorRule, wanted: int | None, where: str) -> int:
    """Return the width to use: the wanted one if the rule allows it.

    Raises:
        UnsupportedError: The target has no such width.
    """
    if wanted is None:
        return rule.bits[0]
    if wanted not in rule.bits:
        raise UnsupportedError(
            f"layer '{where}' asks for {wanted} bits, which the target does not have",
            hint=f"use one of {', '.join(map(str, rule.bits))}",
        )
    return wanted


def is_signed(rule: TensorRule, nonnegative: bool) -> bool:
    """Return whether a tensor's codes are signed."""
    if rule.signedness is Signedness.BY_RANGE:
        return not nonnegative
    return rule.signedness is Signedness.SIGNED


def bounds(rule: TensorRule, bits: int, signed: bool) -> tuple[int, int]:
    """Return the smallest and largest code that real values may take."""
    whole = Format(bits, signed)
    return whole.lo + (1 if rule.narrow and signed else 0), whole.hi


def cover(lo: float, hi: float, rule: TensorRule, bits: int, signed: bool) -> Format:
    """Return the finest format of a rule that covers ``lo … hi`` (0 is always inside).

    Real scales are float32 numbers, so that files which store float32 hold them exactly.
    """
    lowest, highest = bounds(rule, bits, signed)
    lo, hi = min(lo, 0.0), max(hi, 0.0)
    if rule.symmetric:
        scale = symmetric_scale(rule.scale, _needed(lo, hi, lowest, highest))
        return Format(bits, signed, scale)
    scale = symmetric_scale(rule.scale, (hi - lo) / (highest - lowest))
    step = float(scale.values()[0])
    zero = int(np.clip(np.rint(lowest - lo / step), lowest, highest))
    return Format(bits, signed, scale, (zero,))


def _needed(lo: float, hi: float, lowest: int, highest: int) -> float:
    """Return the smallest step at which both ends of a range fit."""
    below = -lo / -lowest if lowest < 0 else 0.0
    return max(below, hi / highest)


def symmetric_scale(kind: ScaleKind, step: float) -> Scale:
    """Return the scale of the given kind that is just not finer than `step`; 0 means unit."""
    if kind is ScaleKind.POWER_OF_TWO:
        return Scale.power_of_two(frac_of(step))
    return Scale.real(_float32_at_least(step) if step > 0 else 1.0)


def frac_of(step: float) -> int:
    """Return the fractional bits of the smallest power of two that is at least `step`."""
    if step <= 0:
        return 0
    mantissa, exponent = math.frexp(step)
    frac = -(exponent - 1) if mantissa == 0.5 else -exponent
    return max(-FRAC_LIMIT, min(FRAC_LIMIT, frac))


def _float32_at_least(step: float) -> float:
    near = np.float32(max(step, 2.0**-100))
    if float(near) < step:
        near = np.nextafter(near, np.float32(np.inf))
    return float(near)


def channel_scales(kind: ScaleKind, steps: Sequence[float]) -> Scale:
    """Return one scale per channel, each just not finer than its step."""
    if kind is ScaleKind.POWER_OF_TWO:
        return Scale.power_of_two(*(frac_of(step) for step in steps))
    return Scale.real(*(_float32_at_least(step) if step > 0 else 1.0 for step in steps))
