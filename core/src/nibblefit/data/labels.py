"""Class numbers: checked once when a data set is opened."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nibblefit.errors import InputError

#: More classes than this in a label file means that it is damaged or holds something else.
MOST_CLASSES = 100_000


def class_names_for(
    labels: npt.NDArray[np.generic], names: Sequence[str], where: str
) -> tuple[str, ...]:
    """Return the names of all classes, after checking that every label has one.

    Args:
        labels: Class number per sample (or per pixel).
        names: Names given by the user; empty: classes are called ``0`` … largest label.
        where: File or array the labels come from, for the error.

    Raises:
        InputError: Labels are not whole numbers, negative, or above the last name.
    """
    if labels.dtype.kind not in "iub":
        raise InputError(
            f"{where} holds {labels.dtype} labels, class numbers are integers",
            hint="store labels as integers from 0",
        )
    if labels.size == 0:
        return tuple(names)
    smallest, largest = int(labels.min()), int(labels.max())
    limit = len(names) or MOST_CLASSES
    if smallest < 0 or largest >= limit:
        wrong = smallest if smallest < 0 else largest
        raise InputError(
            f"{where} holds label {wrong}, expected 0 … {limit - 1}",
            hint="check the label file, or the class names in data.options",
        )
    return tuple(names) or tuple(str(number) for number in range(largest + 1))
