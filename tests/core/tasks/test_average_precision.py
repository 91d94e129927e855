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


def test_a_box_that_is_taken_leaves_the_next_one():
    """Two boxes in a crowd: the second detection is nearest to the taken one, and overlaps both."""
    wanted = boxes((0, 0, 10, 10), (2, 0, 12, 10))
    crowd = found([(0, 0, 10, 10), (0.5, 0, 10.5, 10)], [0.9, 0.8])
    for claims, verdicts, value in (("nearest", [1, 0], 0.5), ("free", [1, 1], 1.0)):
        precision = AveragePrecision(1, claims=claims)
        assert precision.add(crowd, wanted, np.zeros(2, int)).tolist() == verdicts
        assert precision.per_class() == [value]


def test_a_difficult_box_excuses_all_or_one():
    """Three detections of it: none counts, or the first does not and the others are wrong."""
    hard = boxes((0, 0, 10, 10))
    three = found([hard[0]] * 3, [0.9, 0.8, 0.7])
    for claims, verdicts in (("nearest", [-1, -1, -1]), ("free", [-1, 0, 0])):
        precision = AveragePrecision(1, claims=claims)
        assert precision.add(three, hard, np.zeros(1, int), np.ones(1, bool)).tolist() == verdicts
        assert precision.wanted() == [0]


PLACES = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(
    lambda p: (p[0], p[1], p[0] + 8, p[1] + 8)
)


@given(
    st.lists(st.tuples(PLACES, st.booleans()), max_size=5),
    st.lists(st.tuples(PLACES, st.integers(1, 99)), max_size=8, unique_by=lambda p: p[1]),
)
def test_free_claims_equal_the_definition(wanted, detections):
    """One by one by falling score, the best overlap among boxes still free, as TAO judges."""
    free, expected = list(range(len(wanted))), {}
    for place, score in sorted(detections, key=lambda d: -d[1]):
        shares = [(Fraction(*shared(place, wanted[n][0])), -n) for n in free]
        best, number = max(shares, default=(Fraction(0), 0))
        if best < Fraction(1, 2):
            expected[score] = 0
            continue
        free.remove(-number)
        expected[score] = -1 if wanted[-number][1] else 1
    precision = AveragePrecision(1, claims="free")
    verdicts = precision.add(
        found([place for place, _ in detections], [score / 100 for _, score in detections]),
        boxes(*[place for place, _ in wanted]), np.zeros(len(wanted), int),
        np.array([hard for _, hard in wanted], bool),
    )  # fmt: skip
    assert verdicts.tolist() == [expected[score] for _, score in detections]
    assert precision.wanted() == [sum(not hard for _, hard in wanted)]


def shared(one, two):
    """Return the intersection and the union of two boxes, in whole pixels."""
    across = max(0, min(one[2], two[2]) - max(one[0], two[0]))
    down = max(0, min(one[3], two[3]) - max(one[1], two[1]))
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, two)]
    return across * down, sum(areas) - across * down
