"""Formats from a histogram of all values at once: no batch counts more than another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nibblefit.fixed.formats import FloatArray
from nibblefit.quantization.histogram import Histogram
from nibblefit_vitis.calibration.clipping import ORIGINAL_START, clip_at
from nibblefit_vitis.calibration.estimate import check_finite, check_setting
from nibblefit_vitis.calibration.magnitudes import folded
from nibblefit_vitis.calibration.positions import SCOPES, capped, covering_position
from nibblefit_vitis.calibration.scales import asymmetric_scale, refuse_negative, symmetric_scale
from nibblefit_vitis.formats import FixPosition, TensorFormat
from nibblefit_vitis.settings import Method, ScaleType, TensorSetting
from nibblefit_vitis.simulation.quantizer import Quantizer

#: Values of one sample and tensor that are counted; of larger tensors, every n-th one. The extremes
#: are exact all the same.
COUNTED_VALUES = 16384
#: Smallest share of the range that error and entropy may clip at.
_START = 0.125


def pooled_format(
    name: str, histogram: Histogram, setting: TensorSetting, *, parity: bool = False
) -> TensorFormat:
    """Return the format of a tensor whose values a histogram counts.

    Args:
        name: Of the tensor, for messages.
        histogram: Extremes are exact; bins are at most 1/8 of a step of an 8-bit code wide.
        setting: What is asked for.
        parity: Search where the original searches.

    Raises:
        InputError: Values are negative where codes are not.
        UnsupportedError: The setting contradicts itself.
    """
    check_setting(name, setting)
    lo, hi = min(histogram.lo, 0.0), max(histogram.hi, 0.0)
    refuse_negative(name, lo, setting)
    if setting.scale_type is ScaleType.POWER_OF_TWO:
        position = _position(histogram, setting)
        return FixPosition(setting.bit_width, position, unsigned=not setting.signed)
    if not setting.symmetry:
        return asymmetric_scale(histogram.lo, histogram.hi, setting, parity=parity)
    largest = max(-lo, hi)
    if setting.method is not Method.MAXMIN and largest > 0:
        largest = clip_at(folded(histogram), setting, ORIGINAL_START if parity else _START)
    return symmetric_scale((largest,), setting)


def _position(histogram: Histogram, setting: TensorSetting) -> int:
    """Return the position with the least squared error, the coarsest of equals, capped."""
    bits = setting.bit_width
    first = covering_position(histogram.lo, histogram.hi, setting)
    if capped(first, bits) < first:
        return capped(first, bits)
    values, counts = histogram.occupied()
    candidates = range(first, first + SCOPES[setting.method])
    losses = [
        _loss(values, counts.astype(np.float64), histogram.width, position, setting)
        for position in candidates
    ]
    return capped(candidates[int(np.argmin(losses))], bits)


def _loss(
    values: FloatArray, counts: FloatArray, width: float, position: int, setting: TensorSetting
) -> float:
    """Return the squared error of all values, taken as spread evenly over their bins.

    Bins are powers of two wide, so one never straddles two codes unless a step is as narrow as it;
    then the values inside the range are spread over whole steps.
    """
    step = 2.0**-position
    codes = Quantizer((1.0 / step,), (0,), setting.lowest, setting.highest, setting.round_mode)
    missed = codes.real(torch.from_numpy(values)).numpy() - values
    spread = np.where(values == 0.0, 0.0, width**2 / 12.0)
    squares = missed**2 + spread
    if step < 2 * width:
        inside = (values >= setting.lowest * step) & (values <= setting.highest * step)
        squares = np.where(inside & (values != 0.0), step**2 / 12.0, squares)
    return float((counts * squares).sum())


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a histogram takes from a batch of a tensor.

    Attributes:
        lo: Smallest value of all.
        hi: Largest value of all.
        values: Those that are counted.
    """

    lo: float
    hi: float
    values: Tensor

    def into(self, histogram: Histogram) -> None:
        """Add the batch to a histogram."""
        if self.values.numel():
            histogram.extend_range(self.lo, self.hi)
            histogram.add(self.values)


def sampled(name: str, values: Tensor) -> Sampled:
    """Return the exact extremes of a batch of a tensor, and every n-th value of each sample.

    Raises:
        InputError: A value is not finite.
    """
    # Whatever the order in memory is, every n-th value of it is counted.
    if values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last):
        values = values.permute(0, 2, 3, 1)
    if values.numel() == 0:
        return Sampled(0.0, 0.0, values)
    flat = values.reshape(values.shape[0], -1)
    lo, hi = (float(end) for end in torch.aminmax(flat))
    check_finite(name, lo, hi)
    return Sampled(lo, hi, flat[:, :: _stride(flat.shape[1])])


def _stride(size: int) -> int:
    """Return a stride that leaves at most COUNTED_VALUES values and avoids whole rows."""
    stride = -(-size // COUNTED_VALUES)
    while math.gcd(stride, size) != 1:
        stride += 1
    return stride
