"""The detection loss with TAO's mining, against losses recorded from TAO's own code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nibblefit.tasks.detection.anchors import HeadShape, anchors_of
from nibblefit.tasks.detection.loss import matched_loss
from nibblefit.tasks.detection.options import DetectionOptions


def test_loss_is_the_vendors_to_float_precision(shared: Path) -> None:
    """Mean over the pictures of each recorded case: hard negatives over the batch, weights.

    TAO's losses per picture are multiplied by the batch size because Keras then averages over it.
    """
    folder = shared / "vendor" / "tao" / "oracles"
    cases = json.loads((folder / "ssd_loss.json").read_text())
    arrays = np.load(folder / "ssd_loss.npz")
    # Probabilities: their logarithms are scores with the same softmax. Each sums to 1.
    scores = torch.from_numpy(np.log(arrays["class_prob"].astype(np.float64)))
    hot = arrays["y_true_class"]
    classes = torch.from_numpy(np.where(hot.any(axis=2), hot.argmax(axis=2), -1))
    wanted = torch.from_numpy(arrays["y_true_loc"].astype(np.float64))[classes > 0]
    locations = torch.from_numpy(arrays["loc"].astype(np.float64))
    assert len(cases) == 3
    for case in cases:
        options = DetectionOptions(
            negatives=case["neg_pos_ratio"], negatives_from="batch", location_weight=case["alpha"]
        )
        ours = matched_loss(locations, scores, classes, wanted, options)
        assert float(ours) == pytest.approx(np.mean(case["per_image"]), rel=1e-6)


def test_anchors_of_the_published_detector_are_counted() -> None:
    """11,658 with one list of five ratios on all levels, 8,744 with 3/5/5/5/3/3."""
    sides = (38, 19, 10, 5, 3, 2)
    six = [HeadShape(side, side, 6) for side in sides]
    assert len(anchors_of(six, (300, 300), DetectionOptions(ratios=((2, 0.5, 3, 1 / 3),)))) == 11658
    counts = (4, 6, 6, 6, 4, 4)
    heads = [HeadShape(side, side, count) for side, count in zip(sides, counts, strict=True)]
    assert len(anchors_of(heads, (300, 300), DetectionOptions())) == 8744
