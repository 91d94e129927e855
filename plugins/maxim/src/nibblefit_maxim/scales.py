"""From real weights to codes: one power of two per layer, chosen from the weights' magnitude.

Source: ai8x-synthesis commit ab4f4c0, `quantize.py`, and ai8x-training commit c3d4eb1, `ai8x.py`.
With p = all weights and biases of a layer and r the quantile:

    B    = clip(⌊log2(1 / quantile(|p|, r))⌋, −7−b, 23−b)
    code = clip(⌊w · 2^B · 2^(b−1) + ½⌋, −2^(b−1), 2^(b−1)−1)       and the same for the bias

Binary weights, which the vendor's scripts do not make, are our own: code = 1 for w ≥ 0, else −1,
and 2^−B is the power of two nearest to the mean of |w|, which has the least squared error of all
powers of two. Their bias has 8-bit codes of unit 2^−B.

Codes are computed in float32, as in the vendor's scripts: there the addition of one half can
round, and the files must come out equal. Everything else here is exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nibblefit.errors import InputError
from nibblefit.fixed.formats import IntArray

RealArray: TypeAlias = npt.NDArray[np.floating[Any]]


#: Bits of a magnitude in the sum that decides the scale of binary weights: float32's digits.
SUM_BITS = 24
#: Bits of a bias code beside binary weights, the file format's own limit.
BINARY_BIAS_BITS = 8


@dataclass(frozen=True, slots=True)
class Codes:
    """Codes of one layer.

    Attributes:
        weights: int64, the shape of the real weights.
        bias: int64 codes, which join the accumulator times 128, or None.
        exponent: B, the power of two by which the real weights were multiplied.
    """

    weights: IntArray
    bias: IntArray | None
    exponent: int


def magnitude_quantile(values: RealArray, share: float) -> float:
    """Return the quantile of a non-negative array by linear interpolation between neighbours."""
    flat = np.sort(values.reshape(-1))
    position = share * (flat.size - 1)
    below = math.floor(position)
    above = min(below + 1, flat.size - 1)
    low, high = float(flat[below]), float(flat[above])
    return low + (high - low) * (position - below)


def floor_log2_of_inverse(limit: float) -> int:
    """Return ⌊log2(1 / limit)⌋ exactly; `limit` is above zero."""
    mantissa, exponent = math.frexp(limit)
    # limit = mantissa · 2^exponent with ½ ≤ mantissa < 1, so −log2(mantissa) lies in (0, 1].
    return 1 - exponent if mantissa == 0.5 else -exponent


def exponent_limits(bits: int) -> tuple[int, int]:
    """Return the smallest and largest exponent the output shift can undo, for a weight width."""
    return -7 - bits, 23 - bits


def weight_exponent(
    weights: RealArray,
    bias: RealArray | None,
    bits: int,
    quantile: float,
    threshold: int = 0,
) -> int:
    """Return B for one layer; `threshold` moves its limits, as it moves the output shift."""
    parts = [np.abs(weights).reshape(-1)]
    if bias is not None:
        parts.append(np.abs(bias).reshape(-1))
    limit = magnitude_quantile(np.concatenate(parts), quantile)
    low, high = (bound - threshold for bound in exponent_limits(bits))
    return high if limit == 0.0 else min(max(floor_log2_of_inverse(limit), low), high)


def binary_exponent(weights: RealArray, threshold: int = 0) -> int:
    """Return B of binary weights; `threshold` moves its limits, as it moves the output shift.

    Magnitudes are summed as integers, in units of the largest one's 2^−24, so that the sum does
    not depend on its order.
    """
    low, high = (bound - threshold for bound in exponent_limits(1))
    magnitudes = np.abs(weights).astype(np.float64).reshape(-1)
    largest = float(magnitudes.max(initial=0.0))
    if largest == 0.0:
        return high
    place = SUM_BITS - math.frexp(largest)[1]
    total = int(np.ldexp(magnitudes, place).astype(np.int64).sum())
    # 2^k is nearest to the mean if 2^k ≤ mean · 4/3 < 2^(k+1), and frexp returns k + 1 for that.
    _, exponent = math.frexp(4 * total / (3 * magnitudes.size))
    return min(max(place + 1 - exponent, low), high)


def signs(values: RealArray) -> IntArray:
    """Return the binary codes of weights: −1 below zero, else 1."""
    codes: IntArray = np.where(values < 0, -1, 1).astype(np.int64)
    return codes


def code_range(bits: int) -> tuple[int, int]:
    """Return the smallest and largest weight or bias code."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def codes_at(values: RealArray, exponent: int, bits: int) -> IntArray:
    """Return ⌊v · 2^exponent · 2^(bits−1) + ½⌋, clipped to the code range."""
    return codes_of_unit(values, exponent + bits - 1, bits)


def codes_of_unit(values: RealArray, frac: int, bits: int) -> IntArray:
    """Return ⌊v · 2^frac + ½⌋, clipped to the range of `bits` bits."""
    low, high = code_range(bits)
    scaled = values.astype(np.float32) * np.float32(2.0**frac)
    rounded = np.floor(scaled + np.float32(0.5))
    codes: IntArray = np.clip(rounded, low, high).astype(np.int64)
    return codes


def quantize_parameters(
    weights: RealArray,
    bias: RealArray | None,
    bits: int,
    quantile: float = 1.0,
    threshold: int = 0,
    *,
    layer: str = "",
    is_binary: bool = False,
) -> Codes:
    """Return codes and exponent of one layer.

    Args:
        weights: Real weights.
        bias: Real bias, already divided by the input's threshold, or None.
        bits: Weight width.
        quantile: Share of the magnitudes that the scale must hold.
        layer: Name, for messages.
        threshold: Activation threshold relative to the producer's.
        is_binary: Weights become plus and minus one; `bits` is 1 then.

    Raises:
        InputError: A weight or bias is not finite.
    """
    for name, values in (("weights", weights), ("bias", bias)):
        if values is not None and not np.isfinite(values).all():
            raise InputError(
                f"layer '{layer}': {name} hold values that are not finite",
                hint="the training diverged; lower the learning rate",
            )
    if is_binary:
        exponent = binary_exponent(weights, threshold)
        whole = None if bias is None else codes_of_unit(bias, exponent, BINARY_BIAS_BITS)
        return Codes(signs(weights), whole, exponent)
    exponent = weight_exponent(weights, bias, bits, quantile, threshold)
    return Codes(
        codes_at(weights, exponent, bits),
        None if bias is None else codes_at(bias, exponent, bits),
        exponent,
    )
