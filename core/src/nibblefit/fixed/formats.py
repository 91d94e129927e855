"""Number formats: which integers a tensor may hold and which real number each one means.

One convention everywhere, stated once: a *scale* is the real value of one integer step, so
``real = (raw - zero_point) * scale``. The number of *fractional bits* (a DPU's *fix position*) of
a power-of-two scale is ``frac`` with ``scale = 2 ** -frac``; a larger ``frac`` is a finer step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

IntArray: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[np.float64]


class Rounding(StrEnum):
    """How a real quotient x becomes an integer. Named by formula; vendor words clash."""

    FLOOR = "floor"  #: ⌊x⌋, a bare arithmetic right shift
    TOWARD_ZERO = "toward_zero"  #: truncation, C integer division
    HALF_UP = "half_up"  #: ⌊x + ½⌋, ties toward +∞
    HALF_AWAY = "half_away"  #: sign(x)·⌊|x| + ½⌋, ties away from zero
    HALF_TOWARD_ZERO = "half_toward_zero"  #: sign(x)·⌈|x| − ½⌉, ties toward zero
    HALF_EVEN = "half_even"  #: nearest, ties to even; numpy rint, torch round


class Overflow(StrEnum):
    """What happens to a value that does not fit a width."""

    FORBID = "forbid"  #: proven impossible, else an error
    SATURATE = "saturate"  #: the nearest representable value
    WRAP = "wrap"  #: two's complement, modulo 2 ** bits


@dataclass(frozen=True, slots=True)
class Scale:
    """Real value of one integer step, per tensor (one entry) or per channel (one per channel).

    Exactly one of the two fields is set: `frac` for power-of-two scales, which are exact in any
    binary arithmetic, or `steps` for arbitrary positive scales.
    """

    frac: tuple[int, ...] | None = None
    steps: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if (self.frac is None) == (self.steps is None):
            raise ValueError("a scale has either fractional bits or steps, exactly one of them")
        if self.steps is not None and not all(0.0 < s < float("inf") for s in self.steps):
            raise ValueError(f"scale steps are {self.steps}; expected finite values above 0")
        if not (self.frac or self.steps):
            raise ValueError("a scale needs at least one entry")

    @staticmethod
    def power_of_two(*frac: int) -> Scale:
        """Return the scale ``2 ** -frac``, per tensor or one entry per channel."""
        return Scale(frac=tuple(int(f) for f in frac))

    @staticmethod
    def real(*steps: float) -> Scale:
        """Return an arbitrary scale, per tensor or one entry per channel."""
        return Scale(steps=tuple(float(s) for s in steps))

    @property
    def is_power_of_two(self) -> bool:
        return self.frac is not None

    def __len__(self) -> int:
        return len(self.frac if self.frac is not None else self.steps or ())

    def values(self) -> FloatArray:
        """Return the steps as float64, shape (1,) or (channels,)."""
        if self.frac is not None:
            return np.array([2.0**-f for f in self.frac], dtype=np.float64)
        return np.array(self.steps, dtype=np.float64)


UNIT_SCALE = Scale.power_of_two(0)


@dataclass(frozen=True, slots=True)
class Format:
    """What one tensor's integers are and mean: ``real = (raw - zero_point) * scale``.

    Attributes:
        bits: Width of the two's-complement (signed) or plain binary (unsigned) code, 1 to 64.
        signed: Signed codes run −2^(bits−1) … 2^(bits−1)−1; unsigned ones 0 … 2^bits−1.
        scale: Real value of one step.
        zero_point: Code of real zero, one entry or one per channel.
        axis: Axis of the per-channel entries, batch axis counted for activations; None if per
            tensor.
    """

    bits: int
    signed: bool = True
    scale: Scale = field(default=UNIT_SCALE)
    zero_point: tuple[int, ...] = (0,)
    axis: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 64:
            raise ValueError(f"format has {self.bits} bits; expected 1 to 64")
        if self.axis is None and (len(self.scale) != 1 or len(self.zero_point) != 1):
            raise ValueError("a format with several scales or zero points needs a channel axis")

    @property
    def lo(self) -> int:
        """Smallest code."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def hi(self) -> int:
        """Largest code; capped at the largest int64."""
        return min((1 << (self.bits - (1 if self.signed else 0))) - 1, (1 << 63) - 1)

    @property
    def name(self) -> str:
        """Short storage name such as ``int8`` or ``uint4``."""
        return f"{'int' if self.signed else 'uint'}{self.bits}"

    def holds(self, raw: IntArray) -> bool:
        """Return whether every code lies in range."""
        return raw.size == 0 or (int(raw.min()) >= self.lo and int(raw.max()) <= self.hi)


@dataclass(frozen=True, slots=True)
class Accumulator:
    """Width in which a node's exact sum must live before its output steps.

    `FORBID`: the width must be proven sufficient from the actual weights and input ranges.
    `WRAP` and `SATURATE` act once, on the exact mathematical sum, so they do not depend on the
    order of summation.
    """

    bits: int = 32
    overflow: Overflow = Overflow.FORBID
