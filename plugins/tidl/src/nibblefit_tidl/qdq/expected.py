"""Unrounded results of a layer, by which a tie is told from an error.

For a layer and the codes it reads, two unrounded results in steps of the output are needed to tell
a tie from an error: `ideal`, the float formula of the QDQ model, and `device`, the integer formula
with its rounded multipliers but without its last rounding. `noise` bounds what float32 arithmetic
may add to `ideal`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nibblefit.fixed.formats import FloatArray, IntArray
from nibblefit.fixed.steps import Add, Divide, Mul, ShiftLeft, ShiftRight, Steps

#: Unit roundoff of float32.
ROUNDOFF = 2.0**-24


@dataclass(frozen=True, slots=True)
class Expected:
    """Unrounded results of a layer in codes of its output, zero point included.

    Attributes:
        ideal: By the float formula.
        device: By the integer formula before its last rounding.
        noise: Bound on the float32 error of `ideal`.
    """

    ideal: FloatArray
    device: FloatArray
    noise: FloatArray


def unrounded(values: FloatArray | IntArray, steps: Steps) -> FloatArray:
    """Return values after steps without rounding and saturation."""
    found = np.asarray(values, np.float64)
    for step in steps:
        if isinstance(step, Add):
            found = found + step.value
        elif isinstance(step, Mul):
            found = found * step.value
        elif isinstance(step, ShiftLeft):
            found = found * np.exp2(step.bits)
        elif isinstance(step, ShiftRight):
            found = found / np.exp2(step.bits)
        elif isinstance(step, Divide):
            found = found / step.divisor
    return np.asarray(found, np.float64)
