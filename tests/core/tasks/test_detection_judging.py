"""How detections are judged: what the mean is over, whole pixels, examples for people to see."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nibblefit.tasks.average_precision import Boxes
from nibblefit.tasks.detection import DetectionOptions, DetectionSink, SingleShot
from nibblefit.tasks.detection.judging import MOST, SAMPLES

NAMES = ("a", "b", "c")
BOX = np.array([[0.0, 0, 10, 10]])
TARGET = {"boxes": BOX, "labels": [0]}


def sink_of(found: Boxes, count: int = 1, **options: object) -> DetectionSink:
    """Return an accumulator that has seen the same boxes in pictures of one box of class a."""
    sink = DetectionSink(NAMES, lambda outputs: [found] * len(outputs[0]),
                         DetectionOptions(**options))  # fmt: skip
    sink.update([torch.zeros(count)], [TARGET] * count)
    return sink


FOUND = Boxes(np.concatenate([BOX, BOX + 50]), np.array([0, 1]), np.array([0.75, 0.5]))


@pytest.mark.parametrize(("absent", "mean"), [("skip", 1.0), ("zero", 1 / 3)])
def test_classes_nobody_wanted_are_left_out_or_count_as_nothing(absent: str, mean: float) -> None:
    """The mean is over one class or all three; the table says which were absent either way."""
    sink = sink_of(FOUND, absent=absent)
    assert sink.compute() == {"map50": pytest.approx(mean)}
    assert [row[2] for row in sink.report("x").tables[0].rows] == [1.0, None, None]
    nothing = DetectionSink(NAMES, lambda _: [], DetectionOptions(absent=absent))
    assert nothing.compute() == {}
    assert dict(nothing.report("x").arrays) == {}


def test_the_first_samples_are_kept_with_their_verdicts() -> None:
    """Corner, class, score, right or wrong; later samples and the least sure boxes are not."""
    report = sink_of(FOUND, 7).report("x")
    assert report.arrays["detections"] == [
        [[0.0, 0.0, 10.0, 10.0, 0, 0.75, 1], [50.0, 50.0, 60.0, 60.0, 1, 0.5, 0]]
    ] * SAMPLES  # fmt: skip
    scores = np.linspace(0.0, 1.0, 3 * MOST)
    many = Boxes(np.tile(BOX, (3 * MOST, 1)), np.zeros(3 * MOST, int), scores)
    (rows,) = sink_of(many).report("x").arrays["detections"]
    assert [row[5] for row in rows] == sorted(scores.round(4), reverse=True)[:MOST]
    assert [row[6] for row in rows] == [1] + [0] * (MOST - 1)


def test_boxes_are_rounded_to_whole_pixels_only_when_asked_for() -> None:
    """The same boxes, rounded, after overlapping ones are gone."""
    torch.manual_seed(0)
    maps = [torch.randn(1, 16, 4, 4), torch.randn(1, 8, 4, 4)]
    plain, whole = (
        SingleShot(1, (32, 32), DetectionOptions(whole_pixels=asked)).decode(maps)[0]
        for asked in (False, True)
    )
    assert len(plain.boxes) > 4
    assert (plain.boxes % 1).any()
    np.testing.assert_array_equal(whole.boxes, np.rint(plain.boxes))
    np.testing.assert_array_equal(whole.scores, plain.scores)


@pytest.mark.parametrize(
    ("absent", "each"), [("skip", {"a": 1.0}), ("zero", {"a": 1.0, "b": 0.0, "c": 0.0})]
)
def test_each_class_that_the_mean_counts_has_a_precision_of_its_own(
    absent: str, each: dict[str, float]
) -> None:
    """Their mean is the metric; without any box there is nothing to tell."""
    sink = sink_of(FOUND, absent=absent)
    assert sink.details() == {"ap50": each}
    assert sink.compute()["map50"] == pytest.approx(np.mean(list(each.values())))
    assert DetectionSink(NAMES, lambda _: [], DetectionOptions(absent=absent)).details() == {}
