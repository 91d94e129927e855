"""Where to clip: percentile, least squared error, least information lost.

All three work on a histogram of magnitudes and are for symmetric codes. Source: pytorch_nndct 3.5,
histogram methods of its float-scale quantizer.
"""

from __future__ import annotations

import numpy as np
import torch

from nibblefit.fixed.formats import FloatArray
from nibblefit_vitis.calibration.magnitudes import Magnitudes
from nibblefit_vitis.settings import Method, TensorSetting
from nibblefit_vitis.simulation.quantizer import Quantizer

#: Candidates lie this many bins apart, of 2048.
_STRIDE = 16
#: The original tries the last quarter of the range alone.
ORIGINAL_START = 0.75


def clip_at(magnitudes: Magnitudes, setting: TensorSetting, start: float) -> float:
    """Return the magnitude to clip at.

    Args:
        magnitudes: Not empty.
        setting: Names the method and the codes.
        start: Smallest share of the range that is tried, for errors and entropy.
    """
    first = int(start * len(magnitudes.counts))
    if magnitudes.edges[-1] == 0:
        return 0.0
    if setting.method is Method.PERCENTILE:
        return _percentile(magnitudes, setting.percentage)
    if setting.method is Method.ENTROPY:
        return _least_divergence(magnitudes, setting, first)
    return _least_error(magnitudes, setting, first)


def _percentile(magnitudes: Magnitudes, percentage: float) -> float:
    """Return the left edge of the first bin up to whose end the share of values lies."""
    shares = np.cumsum(magnitudes.counts) / magnitudes.counts.sum()
    place = int(np.searchsorted(shares, min(percentage / 100, shares[-1])))
    # The first bin's edge, zero, would clip everything away.
    return float(magnitudes.edges[max(place, 1)])


def _least_error(magnitudes: Magnitudes, setting: TensorSetting, first: int) -> float:
    centers = magnitudes.centers
    places = range(first, len(centers), _STRIDE)
    losses = [_loss(magnitudes, centers, float(centers[place]), setting) for place in places]
    return float(centers[places[int(np.argmin(losses))]])


def _loss(
    magnitudes: Magnitudes, centers: FloatArray, largest: float, setting: TensorSetting
) -> float:
    """Return the mean of count · (rounded − center)² over the bins."""
    rounds = Quantizer(
        (setting.highest / largest,), (0,), setting.lowest, setting.highest, setting.round_mode
    )
    missed = rounds.real(torch.from_numpy(centers)).numpy() - centers
    return float((magnitudes.counts * missed**2).mean())


def _least_divergence(magnitudes: Magnitudes, setting: TensorSetting, first: int) -> float:
    """Return the edge with the least Kullback-Leibler divergence; the last of equals."""
    counts = magnitudes.counts.astype(np.float64)
    counts[0] = counts[1] if len(counts) > 1 else counts[0]
    levels = setting.highest + 1
    places = list(range(max(first, levels), len(counts) + 1, _STRIDE)) or [len(counts)]
    divergences = [_divergence(counts, place, levels) for place in places]
    best = len(places) - 1 - int(np.argmin(divergences[::-1]))
    return float(magnitudes.edges[places[best]])


def _divergence(counts: FloatArray, end: int, levels: int) -> float:
    """Return KL(values clipped at bin `end` ‖ the same in `levels` steps)."""
    inside, tail = counts[:end], counts[end:].sum()
    reference = inside.copy()
    reference[-1] += tail
    occupied = inside > 0
    level = np.digitize(np.arange(end), np.linspace(0, end, levels + 1)) - 1
    totals = np.bincount(level[occupied], inside[occupied], levels)
    bins = np.bincount(level[occupied], minlength=levels)
    means = np.divide(totals, bins, out=np.zeros(levels), where=bins > 0)
    coarse = np.where(occupied, means[level], 0.0)
    if not reference.sum() or not coarse.sum():
        return float(np.inf)
    p, q = reference / reference.sum(), coarse / coarse.sum()
    seen = p > 0
    if (q[seen] == 0).any():
        return float(np.inf)
    return float((p[seen] * np.log(p[seen] / q[seen])).sum())
