"""Float scales from the extremes of values. Source: pytorch_nndct 3.5, method ``maxmin``."""

from __future__ import annotations

from collections.abc import Sequence

from nibblefit.errors import InputError
from nibblefit_vitis.formats import FloatScale
from nibblefit_vitis.settings import TensorSetting
from nibblefit_vitis.simulation.quantizer import TINY_SCALE_POSITION

#: Scale where every value is zero.
ZERO_SCALE = 2.0**-TINY_SCALE_POSITION


def refuse_negative(name: str, lo: float, setting: TensorSetting) -> None:
    """Raise InputError where unsigned codes without zero point meet a negative value."""
    if setting.symmetry and not setting.signed and lo < 0:
        raise InputError(
            f"tensor '{name}' has negative values (down to {lo:.6g}), but is configured as "
            "unsigned and symmetric",
            hint='set "signed": true, or "symmetry": false with method "maxmin", for this layer',
        )


def symmetric_scale(
    largest: Sequence[float], setting: TensorSetting, axis: int | None = None
) -> FloatScale:
    """Return scales whose highest code is the largest magnitude, one or one per channel."""
    scales = tuple(one / setting.highest if one > 0 else ZERO_SCALE for one in largest)
    unsigned = not setting.signed
    zeros = (0,) * len(scales)
    return FloatScale(setting.bit_width, scales, zeros, tuple(largest), axis, unsigned)


def asymmetric_scale(lo: float, hi: float, setting: TensorSetting, *, parity: bool) -> FloatScale:
    """Return scale and zero point that map a range to the codes.

    The original does not widen the range to zero, so the zero point of one-sided values lies
    outside the codes; it is copied in parity mode alone.
    """
    if not parity:
        lo, hi = min(lo, 0.0), max(hi, 0.0)
    scale = (hi - lo) / setting.highest if hi > lo else ZERO_SCALE
    largest = max(abs(lo), abs(hi))
    return FloatScale(
        setting.bit_width, (scale,), (round(-lo / scale),), (largest,), None, unsigned=True
    )
