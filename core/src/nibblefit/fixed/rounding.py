"""The six roundings on floating-point values; the integer forms are in `nibblefit.fixed.arith`."""

from __future__ import annotations

import numpy as np

from nibblefit.fixed.formats import FloatArray, Rounding


def round_real(values: FloatArray, rounding: Rounding) -> FloatArray:
    """Return the values rounded to whole numbers, still float64.

    ``x − trunc(x)`` is exact in floating point, which the shorter ``floor(x + ½)`` is not: that
    sum rounds 0.49999999999999994 up to 1.
    """
    whole = np.trunc(values)
    rest = values - whole
    match rounding:
        case Rounding.FLOOR:
            whole = np.floor(values)
        case Rounding.HALF_UP:
            whole += rest >= 0.5
            whole -= rest < -0.5
        case Rounding.HALF_AWAY:
            whole += rest >= 0.5
            whole -= rest <= -0.5
        case Rounding.HALF_TOWARD_ZERO:
            whole += rest > 0.5
            whole -= rest < -0.5
        case Rounding.HALF_EVEN:
            whole = np.rint(values)
    return whole
