"""Augmentation of brightness, contrast, saturation and hue."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from torch import Tensor

from nibblefit.data.augment import Augmentation
from nibblefit.errors import RecipeError

SHAPE = (3, 4, 5)
COUNT = 400


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    """Return pictures of random colours between 0 and 1."""
    return torch.from_numpy(np.random.default_rng(0).uniform(0, 1, (COUNT, *SHAPE)))


def changed(pictures: Tensor, **options: float) -> Tensor:
    """Return the pictures after an augmentation."""
    change = Augmentation.from_recipe(options, 7, tuple(pictures.shape[1:]))
    return change(pictures, 0, np.arange(len(pictures)))


def spread(values: Tensor, low: float, high: float) -> bool:
    """Return whether values lie within a range, and fill it evenly."""
    inside = bool((values >= low - 1e-9).all() and (values <= high + 1e-9).all())
    counts = torch.histc((values - low) / (high - low), 4, 0, 1)
    return inside and bool((counts > COUNT / 8).all())


def test_brightness_adds_one_number_to_a_picture(pictures: Tensor) -> None:
    """Between minus and plus what was asked for, evenly."""
    added = changed(pictures, brightness=0.3) - pictures
    torch.testing.assert_close(added, added[:, :1, :1, :1].expand_as(added))
    assert spread(added[:, 0, 0, 0], -0.3, 0.3)


def test_contrast_multiplies_distances_to_the_mean(pictures: Tensor) -> None:
    """The mean stays; every distance to it has the same factor, 0.5 … 1.5 for 0.5."""
    found, mean = changed(pictures, contrast=0.5), pictures.mean(dim=(1, 2, 3), keepdim=True)
    factors = (found - mean) / (pictures - mean)
    torch.testing.assert_close(factors, factors[:, :1, :1, :1].expand_as(factors))
    assert spread(factors[:, 0, 0, 0], 0.5, 1.5)


def test_saturation_multiplies_distances_to_gray(pictures: Tensor) -> None:
    """The mean of a pixel's channels stays, and so do gray pictures."""
    found, gray = changed(pictures, saturation=0.8), pictures.mean(dim=1, keepdim=True)
    factors = (found - gray) / (pictures - gray)
    torch.testing.assert_close(factors, factors[:, :1, :1, :1].expand_as(factors))
    assert spread(factors[:, 0, 0, 0], 0.2, 1.8)
    flat = gray.expand_as(pictures)
    torch.testing.assert_close(changed(flat, saturation=0.8, hue=90), flat)


def test_hue_turns_colours_about_gray(pictures: Tensor) -> None:
    """Gray and distance to it stay; pure red turns by up to 60 degrees, by colorsys's hue."""
    found, gray = changed(pictures, hue=60), pictures.mean(dim=1, keepdim=True)
    torch.testing.assert_close(found.mean(dim=1, keepdim=True), gray)
    torch.testing.assert_close((found - gray).norm(dim=1), (pictures - gray).norm(dim=1))
    red = torch.zeros(COUNT, *SHAPE, dtype=torch.float64)
    red[:, 0] = 1.0
    turned = changed(red, hue=60)[:, :, 0, 0]
    cosines = (turned - 1 / 3) @ (red[0, :, 0, 0] - 1 / 3) / (2 / 3)
    signs = torch.sign(turned[:, 1] - turned[:, 2])
    assert spread(signs * torch.rad2deg(torch.arccos(cosines.clamp(-1, 1))), -60, 60)
    third = turned[int((cosines - 0.5).abs().argmin())].clamp(0, 1).tolist()
    assert min(colorsys.rgb_to_hsv(*third)[0] % (2 / 3), 1 / 6) == pytest.approx(1 / 6, abs=0.02)


def test_nothing_moves_and_batches_do_not_matter(pictures: Tensor) -> None:
    """Targets are as they were; any part of a batch gives the same pictures."""
    options = {"brightness": 0.2, "contrast": 0.3, "saturation": 0.4, "hue": 20}
    change = Augmentation.from_recipe(options, 1, SHAPE)
    boxes = [{"boxes": np.ones((1, 4)), "labels": np.zeros(1)}] * 5
    inputs, kept = change.changed(pictures[:5], boxes, 3, np.arange(5))
    assert kept is boxes
    part = change(pictures[2:3], 3, np.array([2]))
    assert torch.equal(part, inputs[2:3])
    assert change(pictures[:5].float(), 3, np.arange(5)).dtype == torch.float32


@pytest.mark.parametrize("key", ["saturation", "hue"])
def test_colours_of_gray_pictures_are_refused(key: str) -> None:
    """By the number of channels, with what fits them."""
    with pytest.raises(RecipeError, match="changes colours of inputs of 1 channels"):
        Augmentation.from_recipe({key: 0.5}, 0, (1, 8, 8))
    Augmentation.from_recipe({"brightness": 0.5, "contrast": 0.5}, 0, (1, 8, 8))
