"""Augmentation and its random numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nibblefit.data.augment import Augmentation
from nibblefit.data.random_bits import Draws, mix
from nibblefit.errors import RecipeError

SHAPE = (1, 8, 8)


def augmentation(shape=SHAPE, seed=5, **options):
    """Return an augmentation from recipe keys."""
    return Augmentation.from_recipe(options, seed, shape)


def pictures(count=64):
    """Return pictures of distinct pixel values."""
    return torch.arange(count * 64, dtype=torch.float32).reshape(count, 1, 8, 8)


EVERYTHING = {"shift": 2, "flip": True, "rotate": 20, "scale": 0.2, "noise": 0.1, "erase": 0.5,
              "brightness": 0.2, "contrast": 0.3}  # fmt: skip


def test_result_depends_on_sample_and_epoch_alone():
    """Any batching gives the same pictures; another epoch or seed gives others."""
    change, inputs, numbers = augmentation(**EVERYTHING), pictures(), np.arange(64)
    whole = change(inputs, 3, numbers)
    order = np.random.default_rng(0).permutation(64)
    pieces = torch.cat([change(inputs[part], 3, numbers[part]) for part in np.split(order, 8)])
    assert torch.equal(pieces, whole[order])
    assert not torch.equal(change(inputs, 4, numbers), whole)
    assert not torch.equal(augmentation(seed=6, **EVERYTHING)(inputs, 3, numbers), whole)
    assert torch.equal(inputs, pictures())


def test_flip_mirrors_about_half():
    """Each picture is itself or its mirror image, and both occur about equally."""
    inputs = pictures(1000)
    found = augmentation(flip=True)(inputs, 0, np.arange(1000))
    mirrored = (found == inputs.flip(-1)).all(dim=(1, 2, 3))
    assert ((found == inputs).all(dim=(1, 2, 3)) | mirrored).all()
    assert 400 < int(mirrored.sum()) < 600


def test_shift_moves_whole_pixels_and_repeats_the_border():
    """Every result is one of the 25 possible shifts with border pixels repeated."""
    inputs = pictures(40)
    found = augmentation(shift=2)(inputs, 0, np.arange(40)).numpy()
    seen = set()
    for before, after in zip(inputs.numpy(), found):
        padded = np.pad(before[0], 2, mode="edge")
        places = [
            (dy, dx)
            for dy in range(5)
            for dx in range(5)
            if np.array_equal(padded[dy : dy + 8, dx : dx + 8], after[0])
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) > 10


def test_rotation_by_nothing_and_scale_keep_the_centre():
    """A bright middle stays in the middle when turned and zoomed."""
    inputs = torch.zeros(32, 1, 9, 9)
    inputs[:, :, 4, 4] = 1.0
    found = augmentation((1, 9, 9), rotate=30, scale=0.1)(inputs, 1, np.arange(32))
    assert (found[:, 0].flatten(1).argmax(1) == 40).all()
    assert not torch.equal(found, inputs)


def test_erase_blanks_a_box_with_the_mean():
    """Chosen pictures have one box at their own mean, others are untouched."""
    inputs = pictures(400)
    found = augmentation(erase=0.5)(inputs, 0, np.arange(400))
    changed = (found != inputs).flatten(1).any(1)
    assert 140 < int(changed.sum()) < 260
    for before, after in zip(inputs[changed][:20], found[changed][:20]):
        blank = (before != after)[0]
        rows, columns = blank.any(1), blank.any(0)
        assert int(blank.sum()) == int(rows.sum()) * int(columns.sum())
        assert (after[0][blank] == before.mean()).all()


def test_noise_has_the_stated_deviation():
    """Added noise has mean 0 and the recipe's standard deviation."""
    found = augmentation(noise=0.25)(torch.zeros(200, 1, 8, 8), 0, np.arange(200))
    assert abs(float(found.mean())) < 0.01
    assert abs(float(found.std()) - 0.25) < 0.01


def test_signals_can_be_shifted():
    """One spatial axis is enough for shift, flip, erase and noise."""
    inputs = torch.arange(40.0).reshape(4, 1, 10)
    found = augmentation((1, 10), shift=1, flip=True, erase=1.0, noise=0.1)(inputs, 0, np.arange(4))
    assert found.shape == inputs.shape


@pytest.mark.parametrize(
    ("options", "shape", "word"),
    [
        ({"rotat": 3}, SHAPE, "did you mean 'rotate'"),
        ({"rotate": -3}, SHAPE, "rotate"),
        ({"rotate": 3}, (1, 8), "two spatial axes"),
        ({"shift": 1}, (8,), "no spatial axes"),
    ],
)
def test_unfitting_augmentation_is_refused(options, shape, word):
    """Unknown keys, bad values and impossible shapes are recipe errors."""
    with pytest.raises(RecipeError, match=word):
        augmentation(shape, **options)


def test_hash_equals_published_sequence():
    """The generator equals SplitMix64's published outputs for seed 1234567."""
    increment = 0x9E3779B97F4A7C15
    states = np.array([(1234567 + n * increment) % 2**64 for n in range(3)], np.uint64)
    assert mix(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_draws_are_uniform_and_streams_differ():
    """Draws fill [0, 1) evenly; two streams are uncorrelated."""
    draws = Draws(1, 2, np.arange(20000))
    first, second = draws.uniform(0), draws.uniform(1)
    assert first.min() >= 0
    assert first.max() < 1
    counts = np.histogram(first, 10, (0, 1))[0]
    assert np.abs(counts - 2000).max() < 200
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
