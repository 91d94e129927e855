"""Ranges and codes of weights. Source: TIDL importer (2025), quantizer."""

from __future__ import annotations

import math

import numpy as np

from nibblefit.fixed.formats import FloatArray, Format, Rounding, Scale
from nibblefit.fixed.quantize import quantize
from nibblefit.quantization.weights import Codes

#: Weights whose largest magnitude is below this count as all zero.
ALL_ZERO = 1e-15
#: Weights beyond this many medians are outliers, if they are large at all.
MEDIANS = 16.0
BINS = 1024


def clipped_magnitude(values: FloatArray, bits: int, method: str, shrink: float = 0.01) -> float:
    """Return the largest magnitude that keeps a code of its own; larger weights saturate.

    Args:
        values: Weights of one scale.
        bits: Their width.
        method: ``median``: above 16 medians, weights are cut at a power of two minus one, but only
            where the largest exceeds 2^(bits − 1) / 8 − 1, and never below the 16 medians.
            ``histogram``: the outermost share goes.
        shrink: Percent that goes on each side, histogram only.
    """
    magnitudes = np.abs(values).reshape(-1)
    largest = float(magnitudes.max(initial=0.0))
    if largest < ALL_ZERO:
        return 0.0
    if method == "histogram":
        return _histogram(values.reshape(-1), shrink)
    limit = MEDIANS * float(np.median(magnitudes))
    if largest > 2.0 ** (bits - 1) / 8.0 - 1.0 and largest > limit > 0.0:
        return max(2.0 ** math.ceil(math.log2(min(largest, limit))) - 1.0, limit)
    return largest


def _histogram(values: FloatArray, shrink: float) -> float:
    bins, edges = np.histogram(values, bins=BINS)
    below = np.cumsum(bins)
    spared = below[-1] * shrink / 100.0
    first = int(np.searchsorted(below, spared, side="right"))
    last = int(np.searchsorted(below, below[-1] - spared, side="left"))
    return max(abs(float(edges[first])), abs(float(edges[min(last, BINS - 1) + 1])))


def symmetric_step(magnitude: float, bits: int, *, power_of_two: bool) -> float:
    """Return the step of weights up to a magnitude: magnitude / 2^(bits − 1).

    The magnitude is a power of two first where scales must be. All-zero weights have step 1.
    """
    if magnitude < ALL_ZERO:
        return 1.0
    if power_of_two:
        mantissa, exponent = math.frexp(magnitude)
        magnitude = 2.0 ** (exponent - 1 if mantissa == 0.5 else exponent)
    return magnitude / 2.0 ** (bits - 1)


def scale_of(steps: FloatArray | float, *, power_of_two: bool) -> Scale:
    """Return steps as a scale; powers of two are written as such."""
    values = np.atleast_1d(np.asarray(steps, np.float64))
    if power_of_two:
        return Scale.power_of_two(*(-(math.frexp(step)[1] - 1) for step in values.tolist()))
    return Scale.real(*values.tolist())


def codes_of(values: FloatArray, fmt: Format) -> Codes:
    """Return codes: value / step, rounded half away from zero, saturated."""
    codes = np.array(quantize(values, fmt, Rounding.HALF_AWAY))
    codes.flags.writeable = False
    return Codes(codes, fmt)
