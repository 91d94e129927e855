"""Histograms of magnitudes, as the histogram methods read them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nibblefit.fixed.formats import FloatArray, IntArray
from nibblefit.quantization.histogram import HALF_BINS, Histogram

#: Source: pytorch_nndct 3.5, histogram methods.
BINS = 2048


@dataclass(frozen=True, slots=True)
class Magnitudes:
    """Counts of |x| in bins of equal width from zero to the largest magnitude.

    Attributes:
        edges: One more than bins; the last one is at or above the largest magnitude.
        counts: Values per bin.
    """

    edges: FloatArray
    counts: IntArray

    @property
    def centers(self) -> FloatArray:
        """Middle of every bin."""
        return np.asarray((self.edges[:-1] + self.edges[1:]) / 2)


def magnitudes_of(values: Tensor) -> Magnitudes:
    """Return 2048 bins up to the largest magnitude of a tensor of finite values."""
    sizes = values.detach().float().abs().reshape(-1)
    largest = float(sizes.max()) if sizes.numel() else 0.0
    counts = torch.histc(sizes, BINS, 0.0, largest) if largest > 0 else torch.zeros(BINS)
    edges = np.linspace(0.0, largest, BINS + 1)
    return Magnitudes(edges, counts.double().numpy().astype(np.int64))


def folded(histogram: Histogram) -> Magnitudes:
    """Return the magnitudes of a histogram of signed values, without the empty bins beyond."""
    counts = histogram.counts()
    sizes = counts[HALF_BINS:] + counts[:HALF_BINS][::-1]
    largest = max(abs(histogram.lo), abs(histogram.hi)) if histogram.total else 0.0
    used = min(HALF_BINS, int(largest / histogram.width) + 1)
    edges = np.arange(used + 1, dtype=np.float64) * histogram.width
    return Magnitudes(edges, sizes[:used])
