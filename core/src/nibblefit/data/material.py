"""What a reader hands over: raw arrays, before splitting and scaling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.data.arrays import Stored
from nibblefit.data.scaling import UINT8_FULL_SCALE
from nibblefit.errors import InputError


@dataclass(frozen=True, slots=True)
class Material:
    """A data set as read.

    Attributes:
        inputs: (count, channels, *spatial).
        targets: One per sample; see `nibblefit.data.arrays.ArraySource`.
        lowest, full: Stored values that map to the ends of the real range.
        class_names: Empty if there are none.
        validation, test: Sample numbers the source itself sets apart; None = choose by seed.
        notes: What the user should know about the data, such as annotations that were left out.
    """

    inputs: Stored
    targets: npt.NDArray[Any] | Sequence[Any] | None
    lowest: float
    full: float
    class_names: Sequence[str] = ()
    validation: npt.NDArray[np.int64] | None = None
    test: npt.NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()


def full_scale(inputs: npt.NDArray[np.generic], where: str) -> tuple[float, float]:
    """Return (lowest, full) that an array's type and values stand for.

    Integers: the range of the type, one step beyond the largest value. Floats within [0, 1] stand
    for themselves.

    Raises:
        InputError: Floats outside [0, 1]: only the user knows their range.
    """
    if inputs.dtype == np.uint8:
        return 0.0, UINT8_FULL_SCALE
    if inputs.dtype.kind in "iu":
        limits = np.iinfo(inputs.dtype.name)
        return float(limits.min), float(limits.max) + 1.0
    numbers = inputs.astype(np.float64)
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 1.0)
    if not (low >= 0.0 and high <= 1.0):
        raise InputError(
            f"{where} holds floats from {low:g} to {high:g}, and nothing says which values are "
            "the ends of their scale",
            hint="set data.options = {lowest = …, full_scale = …}",
        )
    return 0.0, 1.0
