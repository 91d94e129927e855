"""Which unmatched anchors count: neutral ones never, the hardest of a picture or of a batch."""

from __future__ import annotations

import pytest
import torch

from nibblefit.tasks.detection.coding import NEUTRAL, match
from nibblefit.tasks.detection.loss import matched_loss
from nibblefit.tasks.detection.options import DetectionOptions


def test_anchors_near_a_box_but_not_matched_are_neutral() -> None:
    """From `neutral` up to the threshold; the best anchor of a box is never neutral."""
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 14], [0, 0, 10, 30], [50, 50, 60, 60]])
    boxes = torch.tensor([[0.0, 0, 10, 10]])
    assert match(anchors, boxes, 0.8).tolist() == [0, -1, -1, -1]
    assert match(anchors, boxes, 0.8, 0.5).tolist() == [0, NEUTRAL, -1, -1]
    far = torch.tensor([[0.0, 0, 10, 100]])
    assert match(anchors[1:], far, 0.8, 0.2).tolist() == [-1, 0, -1]


@pytest.mark.parametrize(("source", "expected"), [("picture", 4), ("batch", 4)])
def test_the_hardest_negatives_are_chosen_where_asked(source: str, expected: int) -> None:
    """Two pictures with one and three matched anchors; losses of negatives by hand.

    By picture each takes its own hardest; over the batch all come from where losses are largest.
    """
    classes = torch.tensor([[1, 0, 0, 0, -1], [1, 1, 1, 0, 0]])
    scores = torch.zeros(2, 5, 2)
    # Background's score is lowered, so the loss of a negative grows.
    scores[0, :, 0] = torch.tensor([0.0, -1, -5, -4, -9])
    scores[1, :, 0] = torch.tensor([0.0, 0, 0, -2, -3])
    options = DetectionOptions(negatives=1.0, negatives_from=source)
    loss = matched_loss(torch.zeros(2, 5, 4), scores, classes, torch.zeros(4, 4), options)
    softplus = torch.nn.functional.softplus
    positives = 4 * softplus(torch.tensor(0.0))
    chosen = {"picture": (5.0, 2.0, 3.0), "batch": (5.0, 4.0, 3.0, 2.0)}[source]
    by_hand = (positives + sum(softplus(torch.tensor(c)) for c in chosen)) / expected
    assert float(loss) == pytest.approx(float(by_hand))
