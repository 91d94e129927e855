"""Statistics over batches."""

from __future__ import annotations

import pytest

from nibblefit_vitis.calibration.statistics import combined, modal
from nibblefit_vitis.formats import FixPosition, FloatScale
from nibblefit_vitis.settings import Statistic


@pytest.mark.parametrize(
    ("positions", "statistic", "wanted"),
    [
        ((5, 4, 5), Statistic.MODAL, 5),
        ((5, 4, 5, 4), Statistic.MODAL, 4),
        ((5, 4, 7), Statistic.MAX, 4),
        ((3, 3, 3), Statistic.MEAN, 3),
        # (1 + 1/8) / 2 = 0.5625 lies nearest to 1/2.
        ((0, 3), Statistic.MEAN, 1),
        ((0, 2, 9), Statistic.MEDIAN, 2),
    ],
)
def test_positions_combine(positions: tuple[int, ...], statistic: Statistic, wanted: int) -> None:
    """The most frequent position (smallest of equals), or the nearest power to a scale's."""
    found = combined([FixPosition(8, one) for one in positions], statistic)
    assert found == FixPosition(8, wanted)


def test_float_scales_combine_with_the_most_frequent_zero_point() -> None:
    """Scales and largest magnitudes follow the statistic, zero points the vote."""
    found = [FloatScale(8, (s,), (z,), (s * 127,)) for s, z in ((0.5, 3), (1.5, 3), (1.0, 9))]
    assert combined(found, Statistic.MEAN) == FloatScale(8, (1.0,), (3,), (127.0,))
    assert combined(found, Statistic.MAX) == FloatScale(8, (1.5,), (3,), (1.5 * 127,))
    assert combined(found[:2], Statistic.MEDIAN) == FloatScale(8, (1.0,), (3,), (127.0,))
    assert combined(found, Statistic.MODAL) == FloatScale(8, (0.5,), (3,), (63.5,))


def test_the_mode_of_equals_is_the_smallest() -> None:
    """Ties go to the smallest value, as in the original."""
    assert modal([7, 5, 7, 5, 9]) == 5


def test_of_equally_frequent_scales_the_smallest_is_the_finest_position() -> None:
    """The original's quantizer for CPU and GPU votes on scales: 6 of 6, 6, 5, 5."""
    found = [FixPosition(8, one) for one in (6, 6, 5, 5)]
    assert combined(found, Statistic.MODAL) == FixPosition(8, 5)
    assert combined(found, Statistic.MODAL, by_scale=True) == FixPosition(8, 6)
