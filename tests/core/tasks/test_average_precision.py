"""Average precision against hand-worked cases and a slow definition."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.tasks.average_precision import AveragePrecision, Boxes, overlaps


def boxes(*rows):
    """Return boxes as an array (count, 4)."""
    return np.array(rows, np.float64).reshape(-1, 4)


def found(rows, scores, label=0):
    """Return detections of one class."""
    return Boxes(boxes(*rows), np.full(len(rows), label), np.array(scores, np.float64))


def test_overlap_by_hand():
    """Half-shifted squares share a third; disjoint and empty boxes share nothing."""
    shares = overlaps(
        boxes((0, 0, 2, 2)), boxes((1, 0, 3, 2), (5, 5, 6, 6), (0, 0, 2, 2), (1, 1, 1, 1))
    )
    assert shares.tolist() == [[1 / 3, 0.0, 1.0, 0.0]]


def test_second_claim_on_a_box_is_wrong():
    """Two detections of one object: the better one is right, the other a false alarm."""
    precision = AveragePrecision(1)
    wanted = boxes((0, 0, 4, 4), (10, 10, 14, 14))
    precision.add(
        found([(0, 0, 4, 4), (0, 0, 4, 4), (10, 10, 14, 14)], [0.9, 0.8, 0.7]),
        wanted,
        np.zeros(2, int),
    )
    # Hits at ranks 1 and 3: envelope 1 and 2/3, each over half of the recall.
    assert precision.per_class() == [pytest.approx((1 + 2 / 3) / 2)]


def test_absent_classes_are_left_out():
    """A class nobody wanted has no precision; one nobody found has 0."""
    precision = AveragePrecision(3)
    precision.add(found([(0, 0, 1, 1)], [0.5], 1), boxes((0, 0, 1, 1)), np.array([0]))
    assert precision.per_class() == [0.0, None, None]


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 10**6)), max_size=12, unique_by=lambda p: p[1]
    ),
    st.integers(0, 4),
)
def test_area_equals_the_definition(detections, missed):
    """The area equals the sum over recall levels of the best precision at or beyond them."""
    precision = AveragePrecision(1)
    wanted = sum(right for right, _ in detections) + missed
    for number, (right, score) in enumerate(detections):
        place = (0, 0, 1, 1) if right else (5, 5, 6, 6)
        precision.add(
            found([place], [score]),
            boxes((0, 0, 1, 1)) if right else boxes(),
            np.zeros(int(right), int),
        )
        del number
    for _ in range(missed):
        precision.add(found([], []), boxes((0, 0, 1, 1)), np.zeros(1, int))
    if wanted == 0:
        assert precision.per_class() == [None]
        return
    ranked = [right for right, _ in sorted(detections, key=lambda p: -p[1])]
    curve = [
        (sum(ranked[: n + 1]), Fraction(sum(ranked[: n + 1]), n + 1)) for n in range(len(ranked))
    ]
    area = sum(
        (max((p for hits, p in curve if hits >= level), default=Fraction(0)))
        for level in range(1, wanted + 1)
    ) / Fraction(wanted)
    assert precision.per_class() == [pytest.approx(float(area), rel=1e-12)]
