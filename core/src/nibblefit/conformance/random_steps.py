"""Random number formats, codes and step tuples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from nibblefit.fixed.formats import Format, IntArray, Rounding, Scale
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
    Steps,
    Wrap,
    float_param,
    int_param,
)

#: How a batch of codes is filled.
FILLS = ("random", "lowest", "highest", "ends", "small")


def formats(max_bits: int = 16) -> st.SearchStrategy[Format]:
    """Return formats of 1 to `max_bits` bits with power-of-two scales, half of them 8 bits."""
    bits = st.one_of(st.just(8), st.integers(1, max_bits))
    return st.builds(
        lambda bits, signed, frac: Format(bits, signed, Scale.power_of_two(frac)),
        bits, st.booleans(), st.integers(-4, 12),
    )  # fmt: skip


def generators() -> st.SearchStrategy[np.random.Generator]:
    """Return seeded generators: bulk data comes from these, structure from hypothesis."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


def fill(
    number: Format, shape: tuple[int, ...], kind: str, random: np.random.Generator
) -> IntArray:
    """Return codes of a format; `kind` is one of `FILLS`."""
    lo, hi = number.lo, number.hi
    match kind:
        case "lowest":
            return np.full(shape, lo, dtype=np.int64)
        case "highest":
            return np.full(shape, hi, dtype=np.int64)
        case "ends":
            return np.where(random.integers(0, 2, shape) == 1, hi, lo).astype(np.int64)
        case "small":
            return np.asarray(random.integers(max(lo, -2), min(hi, 2) + 1, shape), np.int64)
        case _:
            return np.asarray(random.integers(lo, hi, shape, endpoint=True), np.int64)


@st.composite
def codes(draw: st.DrawFn, number: Format, shape: tuple[int, ...]) -> IntArray:
    """Return an int64 array of codes: random, all lowest, all highest, both ends, or near zero."""
    return fill(number, shape, draw(st.sampled_from(FILLS)), draw(generators()))


roundings = st.sampled_from(list(Rounding))


@st.composite
def step_tuples(
    draw: st.DrawFn, result: Format, channels: tuple[int, ...] = (), shift: int = 8
) -> Steps:
    """Return steps that bring any integer below 2^44 into a format.

    Args:
        draw: Supplied by hypothesis.
        result: Format of the results.
        channels: Shape of per-channel parameters, such as (8, 1, 1); empty for none.
        shift: Typical right shift, around which shifts are drawn.
    """
    random = draw(generators())
    per_channel: bool = draw(st.booleans()) if channels else False
    shape = channels if per_channel else ()
    kind = draw(st.sampled_from(_NAMES))
    low = 0 if kind == "rectified" and not result.hi < 0 else result.lo
    around = (max(shift - 2, 0), shift + 3)
    bits = int_param(random.integers(*around, shape)) if shape else draw(st.integers(*around))
    ends = Clamp(max(low, result.lo), result.hi)
    return _KINDS[kind](_Site(draw, random, shape, shift, bits, result, ends))


@dataclass(frozen=True, slots=True)
class _Site:
    """What the kinds of steps are drawn from.

    Attributes:
        draw: Supplied by hypothesis.
        random: Source of per-channel parameters.
        shape: Shape of parameters; empty for one number.
        shift: Typical right shift.
        bits: The shift drawn.
        result: Format of the results.
        ends: Clamps to it.
    """

    draw: st.DrawFn
    random: np.random.Generator
    shape: tuple[int, ...]
    shift: int
    bits: int | IntArray
    result: Format
    ends: Clamp

    def number(self, top: int, *, inclusive: bool) -> int | IntArray:
        """Return one parameter or one per channel, from 1 to `top`."""
        if not self.shape:
            number: int = self.draw(st.integers(1, top))
            return number
        return int_param(self.random.integers(1, top + inclusive, self.shape))


def _shift(site: _Site) -> Steps:
    draw = site.draw
    offset = draw(st.integers(-300, 300))
    before: Steps = (Add(offset),) if draw(st.booleans()) else ()
    after: Steps = (Add(draw(st.integers(-3, 3))),) if draw(st.booleans()) else ()
    left: Steps = (ShiftLeft(draw(st.integers(0, 3))),) if draw(st.booleans()) else ()
    return (*left, *before, ShiftRight(site.bits, draw(roundings)), *after, site.ends)


def _multiply(site: _Site) -> Steps:
    top = site.draw(st.sampled_from((3, 1 << 7, 1 << 15)))
    factor = site.number(top, inclusive=False)
    wide = _plus(site.bits, top.bit_length() - 1)
    return (Mul(factor), ShiftRight(wide, site.draw(roundings)), site.ends)


def _scale(site: _Site) -> Steps:
    steps = _float32(site.draw, site.random, site.shape, site.shift)
    return (*steps, Add(site.draw(st.integers(-9, 9))), site.ends)


def _lookup(site: _Site) -> Steps:
    draw, result = site.draw, site.result
    size = draw(st.integers(2, 40))
    table = int_param(site.random.integers(result.lo, result.hi, size, endpoint=True))
    lowest = -draw(st.integers(0, size - 1))
    inside = Clamp(lowest, lowest + size - 1)
    return (ShiftRight(site.bits, draw(roundings)), inside, Lookup(np.asarray(table), lowest))


def _divide(site: _Site) -> Steps:
    divisor = site.number(1 << min(site.shift + 1, 20), inclusive=True)
    return (Divide(divisor, site.draw(roundings)), site.ends)


def _wrap(site: _Site) -> Steps:
    result = site.result
    return (ShiftRight(site.bits, site.draw(roundings)), Wrap(result.bits, result.signed))


_KINDS: Mapping[str, Callable[[_Site], Steps]] = {
    "shift": _shift,
    "rectified": _shift,
    "multiply": _multiply,
    "float32": _scale,
    "lookup": _lookup,
    "divide": _divide,
    "wrap": _wrap,
}
#: Plain shifts are twice as frequent: they are what most targets have.
_NAMES = ("shift", *_KINDS)


def _plus(bits: int | IntArray, more: int) -> int | IntArray:
    return bits + more if isinstance(bits, int) else int_param(np.asarray(bits) + more)


def _float32(
    draw: st.DrawFn, random: np.random.Generator, shape: tuple[int, ...], shift: int
) -> Steps:
    # Powers of two make ties; other factors make roundings of their own.
    spread = random.uniform(0.6, 1.6, shape) if draw(st.booleans()) else np.ones(shape)
    factor = float_param(spread * 2.0**-shift)
    steps: Steps = (MulFloat32(factor),)
    if draw(st.booleans()):
        steps = (*steps, DivFloat32(float_param(draw(st.sampled_from((0.5, 3.0, 1.7))))))
    if draw(st.booleans()):
        steps = (*steps, AddFloat32(float_param(draw(st.sampled_from((0.5, -0.25, 7.3))))))
    return (*steps, RoundFloat32(draw(roundings)))
