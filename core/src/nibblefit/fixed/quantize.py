"""Real numbers to codes and back: the one place where a real value becomes an integer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nibblefit.errors import InputError
from nibblefit.fixed.arith import saturate
from nibblefit.fixed.formats import FloatArray, Format, IntArray, Rounding
from nibblefit.fixed.rounding import round_real

#: Quotients beyond this are clamped before they become int64.
_LIMIT = 2.0**62


def quantize(real: npt.ArrayLike, fmt: Format, rounding: Rounding) -> IntArray:
    """Return the codes of real values.

    In float64 and in this order: divide by the scale, round, add the zero point, clamp to the
    format. Infinities become the end of the range; entries per channel lie along ``fmt.axis``.

    Raises:
        InputError: A value is not a number.
    """
    values = np.asarray(real, dtype=np.float64)
    if np.isnan(values).any():
        raise InputError("a value to be quantized is not a number (NaN)",
                         hint="check the data and the weights for NaN")  # fmt: skip
    quotient = values / per_channel(fmt.scale.values(), fmt.axis, values.ndim)
    codes = round_real(np.clip(quotient, -_LIMIT, _LIMIT), rounding).astype(np.int64)
    zero = np.array(fmt.zero_point, dtype=np.int64)
    return saturate(codes + per_channel(zero, fmt.axis, values.ndim), fmt.lo, fmt.hi)


def dequantize(raw: IntArray, fmt: Format) -> FloatArray:
    """Return what codes mean, in float64: ``(raw − zero_point) · scale``."""
    zero = np.array(fmt.zero_point, dtype=np.int64)
    centred = raw - per_channel(zero, fmt.axis, raw.ndim)
    return np.asarray(centred * per_channel(fmt.scale.values(), fmt.axis, raw.ndim))


def per_channel(entries: npt.NDArray[np.generic], axis: int | None, rank: int) -> npt.NDArray:  # type: ignore[type-arg]
    """Return one entry (or one per channel) shaped to broadcast along `axis`."""
    if axis is None or entries.size == 1:
        return entries.reshape(())
    shape = [1] * rank
    shape[axis] = entries.size
    return entries.reshape(shape)
