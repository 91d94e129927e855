"""Scales and zero points as ONNX has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.fixed.formats import IntArray
from nibblefit_vitis.formats import FixPosition, TensorFormat


@dataclass(frozen=True, slots=True)
class Step:
    """Scale and zero point of a tensor, per tensor or along an axis.

    Attributes:
        bits: Width of the codes.
        scales: One, or one per channel.
        zeros: As many.
        axis: Of the channels; None for a whole tensor.
        unsigned: Codes are 0 and above.
        narrow: Without the most negative code.
    """

    bits: int
    scales: tuple[float, ...]
    zeros: tuple[int, ...]
    axis: int | None
    unsigned: bool
    narrow: bool = False

    @property
    def low(self) -> int:
        """Smallest code."""
        return 0 if self.unsigned else int(self.narrow) - (1 << self.bits - 1)

    @property
    def high(self) -> int:
        """Largest code."""
        return (1 << self.bits - int(not self.unsigned)) - 1

    @property
    def scale_array(self) -> npt.NDArray[np.float32]:
        """Scales as the file has them."""
        scales = np.array(self.scales, np.float32)
        return scales if self.axis is not None else scales.reshape(())

    @property
    def zero_array(self) -> npt.NDArray[Any]:
        """Zero points, whose type is that of the codes."""
        width = 8 if self.bits <= 8 else 16
        zeros = np.array(self.zeros, f"{'u' if self.unsigned else ''}int{width}")
        return zeros if self.axis is not None else zeros.reshape(())

    def limits(self) -> tuple[float, float]:
        """Return the real values of the smallest and the largest code."""
        scale, zero = self.scales[0], self.zeros[0]
        return (self.low - zero) * scale, (self.high - zero) * scale

    def values(self, codes: IntArray, rank: int) -> npt.NDArray[np.float64]:
        """Return what codes mean."""
        zero, scale = (self._along(entries, rank) for entries in (self.zeros, self.scales))
        return np.asarray((codes - zero) * scale)

    def scaled(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return real values in steps from zero, not rounded."""
        array = np.asarray(values, np.float64)
        return np.asarray(array / self._along(self.scales, array.ndim))

    def _along(self, entries: tuple[float, ...], rank: int) -> npt.NDArray[np.float64]:
        array = np.array(entries, np.float64)
        if self.axis is None:
            return array.reshape(())
        shape = [1] * rank
        shape[self.axis] = len(entries)
        return array.reshape(shape)


def step_of(form: TensorFormat, *, narrow: bool = False) -> Step:
    """Return scale and zero point of a format."""
    if not isinstance(form, FixPosition):
        return Step(form.bits, form.scale, form.zero_point, form.axis, form.unsigned, narrow)
    scales = tuple(2.0**-position for position in form.positions or (form.position,))
    axis = form.axis if form.positions else None
    return Step(form.bits, scales, (0,) * len(scales), axis, form.unsigned, narrow)
