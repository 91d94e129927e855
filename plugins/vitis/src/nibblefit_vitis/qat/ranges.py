"""Where trained thresholds start: from the spread of parameters, from histograms of activations."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from torch import Tensor

from nibblefit.fixed.formats import FloatArray

#: Smallest threshold; a tensor of zeros has it. Source: scales below it are replaced by 2**-18.
_LEAST = 2.0**-18
#: Values that a histogram counts, of a larger tensor every n-th one; thresholds tried at first.
_MOST, _COARSE = 1 << 20, 256


def parameter_threshold(values: Tensor) -> float:
    """Return |mean| + 3 standard deviations of all values. Source: TQT, pytorch_nndct 3.5."""
    wide = values.detach().double()
    spread = float(wide.std(correction=0)) if wide.numel() > 1 else 0.0
    return max(abs(float(wide.mean())) + 3.0 * spread, _LEAST)


def activation_threshold(values: Tensor, bits: int) -> float:
    """Return the threshold whose quantized distribution is nearest to that of |values|.

    Nearest in Jeffreys divergence between the cumulative histogram, of √n bins, and what remains
    of it after clipping and resampling to the positive codes. Source: TQT (KL-J), pytorch_nndct.

    Args:
        values: One batch.
        bits: Width of the codes.
    """
    flat = values.detach().flatten()
    largest = float(flat.abs().max()) if flat.numel() else 0.0
    magnitudes = flat[:: max(1, flat.numel() // _MOST)].abs().double().numpy(force=True)
    if not math.isfinite(largest) or largest < _LEAST:
        return _LEAST
    bins = max(1, math.isqrt(len(magnitudes)))
    counts, _ = np.histogram(magnitudes, bins, range=(0.0, largest))
    codes = 2 ** (bits - 1)
    if bins <= codes + 1:
        return largest
    below = np.cumsum(counts) / len(magnitudes)
    return (_best_end(below, codes) + 0.5) * largest / bins


def _best_end(below: FloatArray, codes: int) -> int:
    """Return the last bin that is kept: of all, or of many first in strides, then around them."""
    first, last, stride = codes + 1, len(below), max(1, len(below) // _COARSE)
    while True:
        ends = range(first, last, stride)
        best = min(ends, key=lambda end: _divergence(below, end, codes))
        if stride == 1:
            return best
        first, last, stride = max(codes + 1, best - stride), min(last, best + stride + 1), 1


def _divergence(below: FloatArray, end: int, codes: int) -> float:
    """Return the Jeffreys divergence of a cumulative histogram cut after bin `end`."""
    kept = below[: end + 1].copy()
    kept[-1] = 1.0
    places = np.linspace(0.0, 1.0, end + 1)
    levels = np.linspace(0.0, 1.0, codes)
    resampled = np.interp(places, levels, np.interp(levels, places, kept))
    quantized: npt.NDArray[np.float64] = np.concatenate([resampled, np.ones(len(below) - end - 1)])
    used = (below > 0) & (quantized > 0)
    one, other = below[used], quantized[used]
    return float(np.sum((one - other) * np.log2(one / other)))


def log2_threshold(threshold: float) -> float:
    """Return the trained parameter of a threshold."""
    return math.log2(max(threshold, _LEAST))


def position_of(log2: float, bits: int) -> int:
    """Return the fix position of a threshold: bits − 1 − ⌈log2 t⌉, at most 12 (15 above 8 bits)."""
    return min(bits - 1 - math.ceil(log2), 12 if bits <= 8 else 15)


def log2_of_position(position: int, bits: int) -> float:
    """Return a parameter that has a fix position, half an octave from the next on both sides."""
    return bits - 1 - position - 0.5
