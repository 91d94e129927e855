"""Rounding of tensors to a format: codes, or the real values that codes mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nibblefit.errors import InputError
from nibblefit.fixed.formats import IntArray
from nibblefit_vitis.formats import FixPosition, TensorFormat
from nibblefit_vitis.settings import RoundMode, TensorSetting
from nibblefit_vitis.simulation.rounding import ROUND_DOUBLED

#: Widths whose codes float32 holds exactly.
_FLOAT32_BITS = 24
#: Values rounded at a time, so that the passes over them stay in the cache.
_BLOCK = 1 << 17
#: Stands for a scale below the smallest normal float64. Source: pytorch_nndct 3.5.
TINY_SCALE_POSITION = 18


@dataclass(frozen=True, slots=True)
class Quantizer:
    """Rounds real values to codes: ``clamp(round(x · inverse) + zero, lowest, highest)``.

    Values are limited before they are rounded, so nothing wraps, however large.

    Attributes:
        inverse: Codes per real unit, for the tensor or per channel.
        zero: Code of real zero, likewise.
        lowest: Smallest code.
        highest: Largest code.
        mode: Where ties go.
        axis: Channel axis; None for a whole tensor.
    """

    inverse: tuple[float, ...]
    zero: tuple[int, ...]
    lowest: int
    highest: int
    mode: RoundMode
    axis: int | None = None

    def real(self, values: Tensor, *, in_place: bool = False) -> Tensor:
        """Return the real values of the codes, in the type of `values`; not a number stays."""
        wide = max(abs(self.lowest), self.highest) >> _FLOAT32_BITS and values.dtype is not (
            torch.float64
        )
        if wide:
            return self._rounded(values.double()).to(values.dtype)
        if self.axis is not None or not (in_place and _is_dense(values)):
            return self._rounded(values.clone())
        # The order of values in memory does not matter: every one is rounded alike.
        flat = values.as_strided((values.numel(),), (1,), values.storage_offset())
        for start in range(0, len(flat), _BLOCK):
            self._rounded(flat[start : start + _BLOCK])
        return values

    def _rounded(self, values: Tensor) -> Tensor:
        inverse, zero = self._entries(values)
        values = self._code_distances(values, inverse, zero)
        return values.mul_(1.0 / inverse)

    def _code_distances(
        self, values: Tensor, inverse: Tensor | float, zero: Tensor | float
    ) -> Tensor:
        """Return codes minus the zero point, in place."""
        doubled = values.mul_(2.0 * inverse)
        # The ends are integers, so limiting first gives the same codes, infinities included.
        lo, hi = (self.lowest - zero) * 2.0, (self.highest - zero) * 2.0
        if isinstance(lo, Tensor) and isinstance(hi, Tensor):
            doubled = doubled.clamp_(lo, hi)
        else:
            doubled = doubled.clamp_(float(lo), float(hi))
        return ROUND_DOUBLED[self.mode](doubled)

    def _entries(self, values: Tensor) -> tuple[Tensor | float, Tensor | float]:
        if self.axis is None:
            return self.inverse[0], float(self.zero[0])
        shape = [1] * values.dim()
        shape[self.axis] = -1
        inverse, zero = (
            torch.tensor(entries, dtype=values.dtype).reshape(shape)
            for entries in (self.inverse, self.zero)
        )
        return inverse, zero

    def codes(self, values: npt.ArrayLike, name: str = "") -> IntArray:
        """Return integer codes, computed in float64.

        Raises:
            InputError: A value is not a number; says of which tensor.
        """
        wide = torch.from_numpy(np.array(values, np.float64))
        if bool(torch.isnan(wide).any()):
            raise InputError(
                f"tensor '{name}' holds a value that is not a number (NaN)",
                hint="check the weights of the network",
            )
        inverse, zero = self._entries(wide)
        found: IntArray = (self._code_distances(wide, inverse, zero) + zero).long().numpy()
        return found


def _is_dense(values: Tensor) -> bool:
    last = values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last)
    return last or values.is_contiguous()


def quantizer(fmt: TensorFormat, setting: TensorSetting) -> Quantizer:
    """Return what rounds to a format, with the rounding and the narrow range of a setting."""
    signed = not fmt.unsigned
    lowest = -(2 ** (fmt.bits - 1)) + int(setting.narrow_range) if signed else 0
    highest = 2 ** (fmt.bits - int(signed)) - 1
    if isinstance(fmt, FixPosition):
        positions: Sequence[int] = fmt.positions or (fmt.position,)
        inverse = tuple(2.0**position for position in positions)
        zero: tuple[int, ...] = (0,) * len(inverse)
    else:
        inverse, zero = tuple(_inverse(scale) for scale in fmt.scale), fmt.zero_point
    axis = fmt.axis if len(inverse) > 1 or fmt.axis is not None else None
    return Quantizer(inverse, zero, lowest, highest, setting.round_mode, axis)


def _inverse(scale: float) -> float:
    """Source: pytorch_nndct 3.5 for scales too small to divide by."""
    tiny = float(np.finfo(np.float64).tiny)
    return 2.0**TINY_SCALE_POSITION if scale < tiny else 1.0 / scale
