"""Parameters as the DPU holds them: codes, and the real values that a file carries for them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import IntArray
from nibblefit_vitis.formats import FixPosition
from nibblefit_vitis.settings import RoundMode, TensorSetting

#: Codes beyond any width; clamps infinities before they become integers.
_FAR = 2.0**40


def codes_of(values: npt.ArrayLike, form: FixPosition, setting: TensorSetting) -> IntArray:
    """Return the codes of real values: round(value · 2**position), then clamped.

    In float64, where float32 values times powers of two are exact; positions per channel lie
    along the format's axis.
    """
    scaled = np.clip(np.ldexp(np.asarray(values, np.float64), _positions(form, values)),
                     -_FAR, _FAR)  # fmt: skip
    low = 0 if form.unsigned else int(setting.narrow_range) - (1 << form.bits - 1)
    high = (1 << form.bits - int(not form.unsigned)) - 1
    return np.clip(rounded(scaled, setting.round_mode), low, high).astype(np.int64)


def values_of(codes: IntArray, form: FixPosition) -> npt.NDArray[np.float32]:
    """Return what codes mean; codes of up to 24 bits are exact in float32."""
    real = np.ldexp(codes.astype(np.float64), -_positions(form, codes))
    return real.astype(np.float32)


def plain_position(form: object, what: str) -> FixPosition:
    """Return a format that an ``xmodel`` can hold: one signed power of two for the tensor.

    Raises:
        UnsupportedError: It is another one; `what` names the tensor.
    """
    if isinstance(form, FixPosition) and not form.positions and not form.unsigned:
        return form
    raise UnsupportedError(
        f"{what} is quantized with a float scale, per channel or unsigned; the DPU has one signed "
        "power of two per tensor", hint="quantize with target_device DPU to write an xmodel",
    )  # fmt: skip


def _positions(form: FixPosition, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    if not form.positions:
        return np.array(form.position, np.int64)
    shape = [1] * np.ndim(values)
    shape[form.axis or 0] = len(form.positions)
    return np.array(form.positions, np.int64).reshape(shape)


def rounded(values: npt.NDArray[np.float64], rounding: RoundMode) -> npt.NDArray[np.float64]:
    """Return values rounded to integers."""
    if rounding is RoundMode.HALF_EVEN:
        return np.asarray(np.rint(values))
    if rounding is RoundMode.HALF_UP:
        return np.asarray(np.floor(values + 0.5))
    if rounding is RoundMode.STD_ROUND:
        return np.asarray(np.copysign(np.floor(np.abs(values) + 0.5), values))
    return np.asarray(np.copysign(np.ceil(np.abs(values) - 0.5), values))
