"""Boxes, label maps and wanted pictures move with their inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nibblefit.data.augment import Augmentation
from nibblefit.data.augment_options import AugmentOptions
from nibblefit.errors import RecipeError

MOVES = {
    "flip": {"flip": True},
    "shift": {"shift": 5},
    "rotate": {"rotate": 30.0},
    "scale": {"scale": 0.3},
    "all": {"flip": True, "shift": 4, "rotate": 20.0, "scale": 0.2, "noise": 0.01, "erase": 0.3},
}
COUNT, HEIGHT, WIDTH = 12, 40, 60
SAMPLES = np.arange(COUNT)


def rectangles():
    """Return pictures of one bright rectangle each, and its box."""
    generator = np.random.default_rng(3)
    pictures = np.zeros((COUNT, 1, HEIGHT, WIDTH), np.float32)
    targets = []
    for picture in pictures:
        x, y = generator.integers(18, 24), generator.integers(12, 16)
        wide, tall = generator.integers(8, 18), generator.integers(6, 12)
        picture[0, y : y + tall, x : x + wide] = 1.0
        targets.append(
            {"boxes": np.array([[x, y, x + wide, y + tall]], np.float32), "labels": np.array([2])}
        )
    return torch.from_numpy(pictures), targets


def around(picture):
    """Return the box of what is bright."""
    rows, columns = np.nonzero(picture > 0.5)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("name", ["flip", "shift", "rotate", "scale"])
def test_boxes_follow_their_rectangles(name):
    """The moved box is the box of the moved rectangle, to a pixel of sampling."""
    inputs, targets = rectangles()
    augment = Augmentation(AugmentOptions(**MOVES[name]), seed=5)
    moved, boxes = augment.changed(inputs, targets, 0, SAMPLES)
    assert not torch.equal(moved, inputs)
    for picture, target in zip(moved[:, 0].numpy(), boxes, strict=True):
        assert np.abs(target["boxes"][0] - around(picture)).max() <= (
            0 if name in ("flip", "shift") else 2
        )
        assert target["labels"].tolist() == [2]


@pytest.mark.parametrize("name", MOVES)
def test_label_maps_follow_pixel_by_pixel(name):
    """A map that labels bright pixels labels them afterwards, but for the rim of a turn."""
    inputs, _ = rectangles()
    maps = (inputs[:, 0] > 0.5).long()
    options = {key: value for key, value in MOVES[name].items() if key not in ("noise", "erase")}
    moved, labels = Augmentation(AugmentOptions(**options), seed=2).changed(
        inputs, maps, 1, SAMPLES
    )
    assert labels.dtype == maps.dtype
    differing = ((moved[:, 0] > 0.5) != labels.bool()).float().mean()
    assert float(differing) <= (0.0 if name in ("flip", "shift") else 0.01)


@pytest.mark.parametrize("name", MOVES)
def test_inputs_do_not_depend_on_targets(name):
    """With and without a target the inputs are the same, and so for wanted pictures."""
    inputs, targets = rectangles()
    augment = Augmentation(AugmentOptions(**MOVES[name]), seed=9)
    alone = augment(inputs, 3, SAMPLES)
    assert torch.equal(alone, augment.changed(inputs, targets, 3, SAMPLES)[0])
    if name in ("flip", "shift", "rotate", "scale"):
        assert torch.equal(augment.changed(inputs, inputs, 3, SAMPLES)[1], alone)


def test_boxes_that_leave_the_picture_go():
    """Cut boxes are kept while a quarter is visible; what is listed per box goes with them."""
    inputs = torch.zeros(1, 1, 10, 20)
    target = {
        "boxes": np.array([[0, 0, 4, 4], [8, 2, 12, 6]], np.float32),
        "labels": np.array([0, 1]),
        "difficult": np.array([True, False]),
        "name": "p0",
    }
    kept = set()
    for epoch in range(40):
        augment = Augmentation(AugmentOptions(shift=9), seed=1)
        _, (found,) = augment.changed(inputs, [target], epoch, np.array([0]))
        assert len(found["boxes"]) == len(found["labels"]) == len(found["difficult"])
        assert found["name"] == "p0"
        assert (found["boxes"] >= 0).all()
        assert (found["boxes"][:, 2:] <= (20, 10)).all()
        kept.add(tuple(found["labels"].tolist()))
    assert (0, 1) in kept
    assert (1,) in kept


def test_classes_stay_and_strangers_are_refused():
    """Class numbers are no place; a target nobody can move is refused."""
    inputs, _ = rectangles()
    augment = Augmentation(AugmentOptions(shift=2))
    labels = torch.arange(COUNT)
    assert augment.changed(inputs, labels, 0, SAMPLES)[1] is labels
    with pytest.raises(RecipeError, match="how their targets move"):
        augment.changed(inputs, torch.rand(COUNT, 7), 0, SAMPLES)
    noisy = Augmentation(AugmentOptions(noise=0.1))
    other = torch.rand(COUNT, 7)
    assert noisy.changed(inputs, other, 0, SAMPLES)[1] is other
