"""The format of a tensor from its values: every method, power-of-two and float."""

from __future__ import annotations

import torch
from torch import Tensor

from nibblefit.errors import InputError, UnsupportedError
from nibblefit_vitis.calibration.clipping import ORIGINAL_START, clip_at
from nibblefit_vitis.calibration.magnitudes import magnitudes_of
from nibblefit_vitis.calibration.positions import SCOPES, ZERO_POSITION, capped, fix_positions
from nibblefit_vitis.calibration.scales import asymmetric_scale, refuse_negative, symmetric_scale
from nibblefit_vitis.formats import FixPosition, FloatScale, TensorFormat
from nibblefit_vitis.settings import Method, ScaleType, TensorSetting


def check_finite(name: str, lo: float, hi: float) -> None:
    """Raise InputError unless both extremes are numbers."""
    if not (abs(lo) < float("inf") and abs(hi) < float("inf")):
        raise InputError(
            f"tensor '{name}' holds a value that is infinite or not a number",
            hint="check the weights of the network and the scaling of the calibration data",
        )


def check_setting(name: str, setting: TensorSetting) -> None:
    """Raise UnsupportedError for what no device and no method can do."""
    problem, fix = "", ""
    power = setting.scale_type is ScaleType.POWER_OF_TWO
    if setting.datatype != "int":
        problem, fix = f"datatype '{setting.datatype}'", "datatype 'int'"
    elif power and setting.method not in SCOPES:
        problem = f"method '{setting.method}' with power-of-two scales"
        fix = "'diffs' or 'maxmin', or scale_type 'float'"
    elif power and not setting.symmetry:
        problem, fix = "power-of-two scales with zero points", "symmetry true"
    elif not power and setting.method is Method.DIFFS:
        problem = "method 'diffs' with float scales"
        fix = "'maxmin', 'percentile', 'mse' or 'entropy', or scale_type 'poweroftwo'"
    elif not setting.symmetry and setting.method is not Method.MAXMIN:
        problem, fix = f"method '{setting.method}' with zero points", "method 'maxmin'"
    if problem:
        raise UnsupportedError(f"tensor '{name}' is configured for {problem}", hint=f"use {fix}")


def estimate(
    name: str,
    values: Tensor,
    setting: TensorSetting,
    *,
    axis: int | None = None,
    parity: bool = False,
    scope: int | None = None,
) -> TensorFormat:
    """Return the format that suits the values of one tensor.

    Args:
        name: Of the tensor, for messages.
        values: Any shape.
        setting: What is asked for.
        axis: Channel axis; used where the setting is per channel.
        parity: Search where the original searches.
        scope: Number of fix positions tried; None is the method's.

    Raises:
        InputError: A value is not finite, or negative where codes are not.
        UnsupportedError: The setting contradicts itself.
    """
    check_setting(name, setting)
    if values.numel():
        lo, hi = (float(end) for end in torch.aminmax(values))
        check_finite(name, lo, hi)
        refuse_negative(name, lo, setting)
    channels = axis if setting.per_channel else None
    rows = _rows(values, channels)
    if setting.scale_type is ScaleType.POWER_OF_TWO:
        return _positions(rows, setting, channels, scope)
    if channels is not None:
        largest = rows.abs().amax(dim=1) if rows.shape[1] else torch.zeros(rows.shape[0])
        return symmetric_scale(largest.tolist(), setting, channels)
    return _scale(values, setting, parity=parity)


def _rows(values: Tensor, axis: int | None) -> Tensor:
    if axis is None:
        return values.reshape(1, -1)
    return values.movedim(axis, 0).reshape(values.shape[axis], -1)


def _positions(
    rows: Tensor, setting: TensorSetting, axis: int | None, scope: int | None
) -> FixPosition:
    bits = setting.bit_width
    raw = fix_positions(rows, setting, scope or SCOPES[setting.method])
    found = tuple(capped(position, bits) for position in raw)
    unsigned = not setting.signed
    if axis is None:
        return FixPosition(bits, found[0], unsigned=unsigned)
    return FixPosition(bits, min(found, default=ZERO_POSITION), found, axis, unsigned)


def _scale(values: Tensor, setting: TensorSetting, *, parity: bool) -> FloatScale:
    lo, hi = (float(end) for end in torch.aminmax(values)) if values.numel() else (0.0, 0.0)
    if not setting.symmetry:
        return asymmetric_scale(lo, hi, setting, parity=parity)
    largest = max(abs(lo), abs(hi))
    if setting.method is not Method.MAXMIN and largest > 0:
        start = ORIGINAL_START if parity else 0.0
        largest = clip_at(magnitudes_of(values), setting, start)
    return symmetric_scale((largest,), setting)
