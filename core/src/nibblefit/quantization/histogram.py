"""Histograms of real values that grow exactly and do not depend on how the data is batched."""

from __future__ import annotations

import math

import numpy as np
import torch

from nibblefit.errors import InputError
from nibblefit.fixed.formats import FloatArray, IntArray

#: Bins on each side of zero: 8 to 16 bins per step of an 8-bit code.
HALF_BINS = 2048


class Histogram:
    """Counts of one tensor's values, with its exact extremes.

    Bins are ``[i · w, (i + 1) · w)`` for −HALF_BINS ≤ i < HALF_BINS with a width ``w`` that is a
    power of two. When a value lies outside, neighbouring bins merge and ``w`` doubles, which
    yields the same counts as the wider bins would have from the start; so the result depends on
    the values alone, never on their order.

    Attributes:
        lo: Smallest value seen, +inf before the first.
        hi: Largest value seen, −inf before the first.
    """

    def __init__(self) -> None:
        self.lo = math.inf
        self.hi = -math.inf
        self._exponent: int | None = None
        self._counts = np.zeros(2 * HALF_BINS, np.int64)
        self._zeros = 0

    def extend_range(self, lo: float, hi: float) -> None:
        """Take note of extremes of values that are not all counted.

        Raises:
            InputError: A value is infinite or not a number.
        """
        if not (math.isfinite(lo) and math.isfinite(hi)):
            raise InputError(
                "calibration met a value that is infinite or not a number",
                hint="check the weights and the scaling of the calibration data",
            )
        self.lo, self.hi = min(self.lo, lo), max(self.hi, hi)
        self._widen(max(abs(self.lo), abs(self.hi)))

    def add(self, values: torch.Tensor) -> None:
        """Count values inside the range noted before; any shape, float32 or float64."""
        if self._exponent is None:
            self._zeros += values.numel()
            return
        index = torch.floor(values.reshape(-1) * 2.0**-self._exponent).to(torch.int32)
        found = torch.bincount(index + HALF_BINS, minlength=2 * HALF_BINS)
        self._counts += found.numpy()

    def _widen(self, magnitude: float) -> None:
        if magnitude == 0.0:
            return
        # magnitude < 2^exponent, so every index is inside [−HALF_BINS, HALF_BINS).
        exponent = math.frexp(magnitude)[1] - int(math.log2(HALF_BINS))
        exponent = max(exponent, -120)  # 2^-exponent must stay finite in float32
        if self._exponent is not None and exponent > self._exponent:
            old = np.arange(-HALF_BINS, HALF_BINS) >> min(exponent - self._exponent, 62)
            merged = np.zeros_like(self._counts)
            np.add.at(merged, old + HALF_BINS, self._counts)
            self._counts = merged
        if self._exponent is None or exponent > self._exponent:
            self._exponent = exponent

    @property
    def total(self) -> int:
        """Number of values counted."""
        return int(self._counts.sum()) + self._zeros

    @property
    def width(self) -> float:
        """Width of one bin; 1 if every value was zero."""
        return 1.0 if self._exponent is None else 2.0**self._exponent

    def occupied(self) -> tuple[FloatArray, IntArray]:
        """Return representative values of all occupied bins, ascending, and their counts.

        A bin stands for its middle, cut to the extremes; the bin that starts at zero stands for
        zero, where rectified tensors have most of their values.
        """
        counts = self.counts()
        index = np.flatnonzero(counts)
        middle = (index - HALF_BINS + 0.5) * self.width
        middle[index == HALF_BINS] = 0.0
        lo, hi = (self.lo, self.hi) if self.lo <= self.hi else (0.0, 0.0)
        return np.clip(middle, min(lo, 0.0), max(hi, 0.0)), counts[index]

    def counts(self) -> IntArray:
        """Return the counts of all bins from the most negative one."""
        counts = self._counts.copy()
        counts[HALF_BINS] += self._zeros
        return counts
