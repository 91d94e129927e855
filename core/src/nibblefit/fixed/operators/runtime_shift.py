"""Right shifts chosen while running, frame by frame, from the range of the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nibblefit.fixed import arith
from nibblefit.fixed.formats import IntArray, Rounding
from nibblefit.fixed.operators.convolution import raise_rank


@dataclass(frozen=True, slots=True)
class RangeTracker:
    """How a running range follows the frames and which codes it must fit.

    Attributes:
        bits, signed: Width of the code that the shifted range must fit. An unsigned code ignores
            negative values.
        history_first: Percent of the old range kept during the first `first_frames` frames.
        history: Percent of the old range kept after them.
        margin: Percent added to both ends of the running range.
    """

    bits: int
    signed: bool
    history_first: int = 0
    history: int = 0
    first_frames: int = 0
    margin: int = 0

    def follow(self, state: tuple[int, int, int], lo: int, hi: int) -> tuple[int, int, int]:
        """Return the state (lowest, highest, frames seen) after a frame of range lo … hi.

        ``new = (kept·old + (100 − kept)·frame) / 100``, rounded outward. The very first frame has
        no old range and counts in full.
        """
        old_lo, old_hi, seen = state
        kept = 0 if seen == 0 else self.history_first if seen < self.first_frames else self.history
        new_lo = (kept * old_lo + (100 - kept) * lo) // 100
        new_hi = -(-(kept * old_hi + (100 - kept) * hi) // 100)
        return new_lo, new_hi, seen + 1

    def shift(self, lo: int, hi: int) -> int:
        """Return the smallest shift n ≥ 0 with ⌊lo/2^n⌋ and ⌊hi/2^n⌋ in range, margin added.

        The margin is rounded outward. Rounding of the data may still carry the topmost values
        past the range, so a saturating step belongs behind the shift.
        """
        lo -= -(-abs(lo) * self.margin // 100)
        hi += -(-abs(hi) * self.margin // 100)
        top = (1 << (self.bits - (1 if self.signed else 0))) - 1
        bottom = -top - 1
        shift = 0
        while hi >> shift > top or (self.signed and lo >> shift < bottom):
            shift += 1
        if shift > arith.MAX_SHIFT:
            raise OverflowError(f"the range {lo} to {hi} needs a shift by {shift} bits")
        return shift


def choose_shift(x: IntArray, tracker: RangeTracker, state: IntArray) -> tuple[IntArray, IntArray]:
    """Return the shift of every frame, (batch, 1), and the state after the last frame.

    Frames follow the batch axis, each seeing the state its predecessor left.
    """
    axes = tuple(range(1, x.ndim))
    lows, highs = x.min(axis=axes).tolist(), x.max(axis=axes).tolist()
    current = (int(state[0]), int(state[1]), int(state[2]))
    shifts = []
    for lo, hi in zip(lows, highs, strict=True):
        current = tracker.follow(current, lo, hi)
        shifts.append([tracker.shift(current[0], current[1])])
    return np.array(shifts, dtype=np.int64).reshape(-1, 1), np.array(current, dtype=np.int64)


def shift_right(x: IntArray, amount: IntArray, rounding: Rounding) -> IntArray:
    """Return ``x / 2^amount`` with one amount per frame, (batch, 1)."""
    return arith.shift_right(x, raise_rank(amount, max(x.ndim, 2)), rounding)
