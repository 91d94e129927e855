"""Calibrated formats in core's words, and constants as codes in them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import FloatArray, Format, IntArray, Rounding, Scale
from nibblefit.fixed.quantize import quantize
from nibblefit.ir.numerics import ScaleKind
from nibblefit.quantization.formats import symmetric_scale
from nibblefit.quantization.weights import Codes
from nibblefit_vitis.formats import FixPosition, FloatScale, TensorFormat
from nibblefit_vitis.numerics import ROUNDINGS
from nibblefit_vitis.settings import TensorSetting

#: A fix position beyond this is a scale outside float32.
_POSITION_LIMIT = 126


def core_format(found: TensorFormat, name: str) -> Format:
    """Return a calibrated format as core's.

    Raises:
        UnsupportedError: It has no integer form: its range leaves out zero.
    """
    if isinstance(found, FixPosition):
        positions = found.positions or (found.position,)
        if max(map(abs, positions)) > _POSITION_LIMIT:
            raise UnsupportedError(
                f"tensor '{name}' has fix position {max(positions, key=abs)}",
                hint="its values are far outside the range of float32; check the network's weights",
            )
        axis = found.axis if len(positions) > 1 else None
        return Format(found.bits, not found.unsigned, Scale.power_of_two(*positions), (0,), axis)
    axis = found.axis if len(found.scale) > 1 else None
    fmt = Format(found.bits, not found.unsigned, Scale.real(*found.scale), found.zero_point, axis)
    outside = [zero for zero in found.zero_point if not fmt.lo <= zero <= fmt.hi]
    if outside:
        raise UnsupportedError(
            f"tensor '{name}' has zero point {outside[0]}, which is no code of {fmt.name}: its "
            "calibrated range leaves out zero",
            hint="quantize it symmetrically, or without target.parity, where ranges include zero",
        )
    return fmt


def codes_of(values: FloatArray, fmt: Format, setting: TensorSetting,
             rounding: Rounding) -> Codes:  # fmt: skip
    """Return a constant as codes, rounded as said and saturated as its setting says."""
    lowest = fmt.lo + int(setting.narrow_range and fmt.signed)
    codes = quantize(values, fmt, rounding)
    return frozen(codes if lowest == fmt.lo else np.maximum(codes, lowest), fmt)


def parameter_codes(values: npt.ArrayLike, found: TensorFormat, setting: TensorSetting,
                    name: str) -> IntArray:  # fmt: skip
    """Return the codes of a parameter in its calibrated format, rounded as its setting says."""
    real = np.asarray(values, np.float64)
    fmt = core_format(found, name)
    return codes_of(real, fmt, setting, ROUNDINGS[setting.round_mode]).values


def frozen(codes: IntArray, fmt: Format) -> Codes:
    """Return codes that nobody can change any more."""
    codes.flags.writeable = False
    return Codes(codes, fmt)


def covering(values: FloatArray, bits: int) -> Format:
    """Return the finest power-of-two format that covers a constant nobody calibrated."""
    largest = float(np.abs(values).max(initial=0.0)) / (2.0 ** (bits - 1) - 1)
    return Format(bits, True, symmetric_scale(ScaleKind.POWER_OF_TWO, largest))


def is_power_of_two(found: TensorFormat | None) -> bool:
    """Return whether a format is a fix position (an absent one does not count against it)."""
    return not isinstance(found, FloatScale)
