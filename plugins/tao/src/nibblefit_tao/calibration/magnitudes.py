"""TensorRT's entropy calibration: where to cut the magnitudes of a tensor.

Source: NVIDIA, "8-bit inference with TensorRT" (GTC 2017): a histogram of |x| of 2048 bins; for
each cut at 128 … 2048 bins, P is what lies below with the tail added to its last bin, Q what lies
below merged to 128 levels, each spread evenly over its non-empty bins. The cut with the smallest
divergence KL(P ‖ Q) wins.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from nibblefit.fixed.formats import FloatArray, IntArray
from nibblefit.ir.graph import Graph
from nibblefit.quantization.calibrate import Batches, run_batches

BINS = 2048
LEVELS = 128
#: Divergences, in nats, that rounding alone tells apart.
_EQUAL = 1e-12
#: Largest share of values that a cut may saturate: it is there for outliers.
_OUTLIERS = 0.01


def count_magnitudes(
    graph: Graph, batches: Batches, largest: Mapping[str, float]
) -> dict[str, IntArray]:
    """Return the histogram of |x| of every tensor, from 0 to its largest magnitude.

    Exact zeros are not counted: they have a code of their own, and behind a rectifier they would
    outweigh everything else.

    Args:
        graph: A folded graph.
        batches: The inputs from which the largest magnitudes come.
        largest: Largest magnitude by tensor; tensors without any are left out.
    """
    found = {name: np.zeros(BINS, np.int64) for name, most in largest.items() if most > 0}
    for values in run_batches(graph, batches):
        for name in found:
            places = values[name].reshape(-1).abs().double()
            places = (places[places > 0] * (BINS / largest[name])).long().clamp_(max=BINS - 1)
            found[name] += torch.bincount(places, minlength=BINS).numpy()
    return found


def entropy_cut(counts: IntArray, levels: int = LEVELS) -> int:
    """Return the number of bins below the best cut, the largest among equals.

    A tensor of a few values, such as pixels of 16 grays, fits without loss when nothing is cut, and
    by the formula just as well when all but one of its values are. For the same reason a tensor
    without small values, such as a sigmoid behind a rectifier, would by the formula alone be cut
    just above its smallest value; cuts that saturate more than outliers do not count.

    Args:
        counts: Histogram of magnitudes, at least `levels` bins.
        levels: Number of levels that what lies below is merged to.
    """
    beyond = counts.sum() - np.cumsum(counts)[levels - 1 :]
    found = divergences(counts, levels)
    found[beyond > _OUTLIERS * counts.sum()] = np.inf
    return levels + int(np.flatnonzero(found <= found.min() + _EQUAL)[-1])


def divergences(counts: IntArray, levels: int = LEVELS) -> FloatArray:
    """Return KL(P ‖ Q) of every cut from `levels` bins to all.

    Infinite where the tail falls on a bin whose level is empty.
    """
    bins = counts.astype(np.float64)
    cuts = np.arange(levels, len(bins) + 1)[:, None]
    below, used = _sums(bins), _sums((bins > 0).astype(np.float64))
    # Bin k of a cut at n bins belongs to level ⌊k · levels / n⌋.
    edges = -(-np.arange(levels + 1) * cuts // levels)
    mass, share = np.diff(below[edges], axis=1), np.diff(used[edges], axis=1)
    last, tail = bins[cuts[:, 0] - 1], below[-1] - below[cuts[:, 0]]
    share[:, -1] += (tail > 0) & (last == 0)
    real = mass.copy()
    real[:, -1] += tail
    entropy = _sums(_xlogx(bins))[cuts[:, 0]] - _xlogx(last) + _xlogx(last + tail)
    kept, total = below[cuts[:, 0]], below[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        height = np.log(mass / share) - np.log(np.where(kept > 0, kept, 1.0))[:, None]
        crossed = np.where(real > 0, real * height, 0.0).sum(axis=1)
        return np.asarray((entropy - crossed) / total - np.log(total))


def _sums(values: FloatArray) -> FloatArray:
    """Return the sums of the first 0, 1, … values."""
    return np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])


def _xlogx(values: FloatArray) -> FloatArray:
    return np.asarray(values * np.log(np.where(values > 0, values, 1.0)))
