"""One format from those of several batches. Source: pytorch_nndct 3.5, calib_statistic_method."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from nibblefit_vitis.formats import FixPosition, FloatScale, TensorFormat
from nibblefit_vitis.settings import Statistic

_Number = TypeVar("_Number", int, float)


def combined(
    found: Sequence[TensorFormat], statistic: Statistic, *, by_scale: bool = False
) -> TensorFormat:
    """Return the statistic of the formats of one tensor, of all batches so far.

    ``modal`` is the most frequent position or scale, the smallest of equals; the others act on
    scales. A power of two is chosen as the nearest one by exponent to what the statistic gives, the
    coarser of equals. The zero point is the most frequent one.

    Args:
        found: One format per batch.
        statistic: Which one.
        by_scale: Of equally frequent positions take the one of the smallest scale, so the finest,
            as the original's quantizer for CPU and GPU, which keeps scales.
    """
    first = found[0]
    if isinstance(first, FixPosition):
        positions = [one.position for one in found if isinstance(one, FixPosition)]
        return replace(first, position=_position(positions, statistic, by_scale=by_scale))
    floats = [one for one in found if isinstance(one, FloatScale)]
    return replace(
        first,
        scale=(_value([one.scale[0] for one in floats], statistic),),
        zero_point=(modal([one.zero_point[0] for one in floats]),),
        float_max=(_value([one.float_max[0] for one in floats], statistic),),
    )


def modal(values: Sequence[_Number]) -> _Number:
    """Return the most frequent value, the smallest of equals."""
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value))


def _position(positions: Sequence[int], statistic: Statistic, *, by_scale: bool) -> int:
    if statistic is Statistic.MODAL:
        return -modal([-one for one in positions]) if by_scale else modal(positions)
    scale = _value([2.0**-position for position in positions], statistic)
    return math.ceil(-math.log2(scale) - 0.5)


def _value(scales: Sequence[float], statistic: Statistic) -> float:
    if statistic is Statistic.MAX:
        return max(scales)
    if statistic is Statistic.MEAN:
        return statistics.fmean(scales)
    if statistic is Statistic.MEDIAN:
        return statistics.median(scales)
    return modal(scales)
