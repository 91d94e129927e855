"""Codes of weights and biases of one layer, by the classic importer's formulas.

Both share one range and one number of codes per unit, p. With B bits and r = quantRoundAdd / 100::

    mn, mx = range of the weights, widened by the range of the biases / 2^(16 − B)
    p      = 2^B / (mx − mn)
    q(v)   = trunc(v·p + r) where v > 0, else trunc(v·p − r)
    weight = min(q(w) − q(mn), 2^B − 1)       unsigned
    bias   = q(b), saturated to 16 bits
    zero   = q(−mn)                           the code of a weight of exactly zero

Source: classic TIDL importer (0.8 to 1.x), quantization of parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nibblefit.fixed.formats import FloatArray, Format, IntArray, Scale
from nibblefit.quantization.weights import Codes

#: Width of biases.
BIAS_BITS = 16
#: Where the importer's maximum starts, so that it is above zero for every layer.
_SMALLEST_MAXIMUM = 1e-12
_BIAS_MOST = (1 << (BIAS_BITS - 1)) - 1


@dataclass(frozen=True, slots=True)
class Parameters:
    """Quantized parameters of one layer.

    Attributes:
        weights: Codes 0 … 2^bits − 1, shape of the weights.
        bias: 16-bit codes, None without bias.
        bits: Width of weights (numParamBits).
        zero: Code of a weight of zero (zeroWeightValue).
        per_unit: Codes per unit, p.
        bias_stretch: How many times further than the weights the biases reach once both are in
            the common range; above 1 they cost the weights resolution.
    """

    weights: IntArray
    bias: IntArray | None
    bits: int
    zero: int
    per_unit: float
    bias_stretch: float

    @property
    def weights_q(self) -> int:
        """The scale as the importer stores it, 8 fractional bits (weightsQ)."""
        return int(np.trunc(256.0 * self.per_unit))

    @property
    def container_bits(self) -> int:
        """Width a weight takes in memory."""
        return 8 if self.bits <= 8 else 16

    def weight_codes(self) -> Codes:
        """Return weights with their format."""
        scale = Scale.real(1.0 / self.per_unit)
        return Codes(self.weights, Format(self.bits, False, scale, (self.zero,)))

    def bias_codes(self) -> Codes:
        """Return biases with their format; a layer without has none to ask for."""
        values = np.zeros(0, np.int64) if self.bias is None else self.bias
        return Codes(values, Format(BIAS_BITS, True, Scale.real(1.0 / self.per_unit)))


def quantize_parameters(
    weights: FloatArray, bias: FloatArray | None, bits: int, round_add: int = 50
) -> Parameters:
    """Return the codes of one layer.

    Two corners that the formulas leave open are closed so that zero always has a code: a layer
    with positive weights only starts its range at zero, and one whose largest value is zero gives
    up its most negative code.

    Args:
        weights: Any shape.
        bias: Any shape, or None.
        bits: 4 to 12.
        round_add: Percent of a step added before truncation.
    """
    share = round_add / 100.0
    lowest, highest = float(weights.min(initial=0.0)), float(weights.max(initial=0.0))
    reach = max(-lowest, highest)
    widened = 0.0
    if bias is not None and bias.size:
        narrowing = 2.0 ** (BIAS_BITS - bits)
        lowest = min(lowest, float(bias.min()) / narrowing)
        highest = max(highest, float(bias.max()) / narrowing)
        widened = float(np.abs(bias).max()) / narrowing
    highest = max(highest, _SMALLEST_MAXIMUM)
    per_unit = 2.0**bits / (highest - lowest)
    most = (1 << bits) - 1
    zero = min(-int(_code(np.array(lowest), per_unit, share)), most)
    codes = np.clip(_code(weights, per_unit, share) + zero, 0, most)
    biases = None
    if bias is not None:
        biases = _read_only(np.clip(_code(bias, per_unit, share), -_BIAS_MOST - 1, _BIAS_MOST))
    stretch = widened / reach if reach > 0 else (float("inf") if widened > 0 else 0.0)
    return Parameters(_read_only(codes), biases, bits, zero, per_unit, stretch)


def _code(values: FloatArray, per_unit: float, share: float) -> IntArray:
    scaled = values * per_unit
    rounded = np.trunc(np.where(values > 0, scaled + share, scaled - share))
    return np.asarray(rounded, np.int64)


def _read_only(values: IntArray) -> IntArray:
    values.flags.writeable = False
    return values
