"""Range methods: which part of an observed distribution a format should cover."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from nibblefit.fixed.formats import FloatArray, Format, IntArray
from nibblefit.quantization.histogram import Histogram

Range = tuple[float, float]


class Method(StrEnum):
    """How a range is chosen from a histogram."""

    MINMAX = "minmax"  #: everything seen
    PERCENTILE = "percentile"  #: all but a share of the values
    MSE = "mse"  #: least squared error of rounding and clipping together
    ENTROPY = "entropy"  #: least information lost (Kullback-Leibler divergence)


@dataclass(frozen=True, slots=True)
class Choice:
    """A range method with its setting.

    Attributes:
        percentile: Share of the values to cover in percent, PERCENTILE only.
    """

    method: Method = Method.MSE
    percentile: float = 99.99


#: Makes the format that covers a range.
FormatOfRange = Callable[[float, float], Format]

_SHRINK = np.geomspace(1.0, 1 / 16, 64)


def choose_format(histogram: Histogram, choice: Choice, make: FormatOfRange) -> Format:
    """Return the format that `make` gives for the range found by the method."""
    full = (min(histogram.lo, 0.0), max(histogram.hi, 0.0))
    if choice.method is Method.MSE:
        return least_error(*histogram.occupied(), _candidates(full, make))
    if choice.method is Method.PERCENTILE:
        return make(*_percentile(histogram, choice.percentile))
    if choice.method is Method.ENTROPY:
        return make(*_entropy(histogram, make(*full)))
    return make(*full)


def _candidates(full: Range, make: FormatOfRange) -> list[Format]:
    """Return the distinct formats of ever narrower ranges, the widest first."""
    lo, hi = full
    return list(dict.fromkeys(make(lo * factor, hi * factor) for factor in _SHRINK.tolist()))


def least_error(values: FloatArray, counts: IntArray, candidates: list[Format]) -> Format:
    """Return the format with the least summed squared error; ties go to the earlier one."""
    steps = np.array([candidate.scale.values()[0] for candidate in candidates])[:, None]
    zeros = np.array([candidate.zero_point[0] for candidate in candidates])[:, None]
    lo, hi = candidates[0].lo, candidates[0].hi
    codes = np.clip(np.rint(values / steps) + zeros, lo, hi)
    errors = ((values - (codes - zeros) * steps) ** 2) @ counts.astype(np.float64)
    return candidates[int(np.argmin(errors))]


def _percentile(histogram: Histogram, percentile: float) -> Range:
    """Return the range that covers `percentile` of the values, cut evenly by magnitude."""
    values, counts = histogram.occupied()
    order = np.argsort(np.abs(values), kind="stable")
    covered = np.cumsum(counts[order])
    needed = np.ceil(covered[-1] * percentile / 100.0)
    last = order[int(np.searchsorted(covered, needed))]
    # The far edge of the last bin needed.
    bound = abs(float(values[last])) + histogram.width / 2
    return max(min(histogram.lo, 0.0), -bound), min(max(histogram.hi, 0.0), bound)


def _entropy(histogram: Histogram, full: Format) -> Range:
    """Return the magnitude whose quantized distribution is nearest to the real one."""
    values, counts = histogram.occupied()
    bins = np.zeros(int(np.abs(values).max() / histogram.width) + 1, np.float64)
    np.add.at(bins, (np.abs(values) / histogram.width).astype(np.int64), counts)
    levels = max(full.hi - full.zero_point[0], full.zero_point[0] - full.lo)
    if len(bins) <= levels:
        return min(histogram.lo, 0.0), max(histogram.hi, 0.0)
    # Zeros are exact in every format; they would drown the rest.
    bins[0] = bins[1]
    widths = np.unique(np.linspace(levels, len(bins), 128).astype(np.int64))
    losses = [_divergence(bins, int(width), levels) for width in widths]
    bound = float(widths[int(np.argmin(losses))]) * histogram.width
    return max(min(histogram.lo, 0.0), -bound), min(max(histogram.hi, 0.0), bound)


def _divergence(bins: FloatArray, width: int, levels: int) -> float:
    """Return KL(P‖Q) of the first `width` bins, the rest clipped onto the last of them."""
    real = bins[:width].copy()
    kept = real.copy()
    real[-1] += bins[width:].sum()
    group = np.arange(width) * levels // width
    used = real > 0
    total = np.bincount(group, kept, minlength=levels)
    share = np.bincount(group, used, minlength=levels)
    model = np.where(used, (total / np.maximum(share, 1))[group], 0.0)
    p, q = real / real.sum(), model / max(model.sum(), 1e-30)
    # A clipped tail on an empty bin has no counterpart: a large, finite price.
    return float(np.sum(p[used] * np.log(p[used] / np.maximum(q[used], 1e-9))))


METHODS: Mapping[str, Method] = {method.value: method for method in Method}
