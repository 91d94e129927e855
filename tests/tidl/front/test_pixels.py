"""Samples as the pixels that they were made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.tidl.front.test_recipe import COLOUR, Plain, network, pixels, run_of

from nibblefit.data.source import Split
from nibblefit.errors import UnsupportedError
from nibblefit_tidl.front.pixels import PixelSource, pixels_of
from nibblefit_tidl.front.preprocessing import Preprocessing


def test_samples_that_are_no_pixels_are_refused() -> None:
    """By mean and scale that do not fit the data: fractions, and values beyond a byte."""
    samples = COLOUR.apply(pixels(2))
    right = Preprocessing((128.0, 64.0, 96.0), (1 / 64, 1 / 128, 1 / 64))
    assert np.array_equal(pixels_of(samples, right), pixels(2))
    with pytest.raises(UnsupportedError, match="one of them is"):
        pixels_of(samples, replace(right, mean=(128.5, 64.0, 96.0)))
    with pytest.raises(UnsupportedError, match="they go from"):
        pixels_of(samples, replace(right, mean=(200.0, 64.0, 96.0)))


def test_a_source_without_take_is_read_sample_by_sample() -> None:
    """Any data source serves; targets stay as they are."""
    given = Preprocessing((0.0,) * 3, (1 / 256,) * 3)
    source = PixelSource(Plain(run_of("tidl", "", network()).data), given)
    taken, targets = source.take(Split.TEST, np.array([1, 0]))
    assert np.array_equal(taken[0], source.split(Split.TEST)[1][0])
    assert np.array_equal(taken[0], source.batch(Split.TEST, 1, 2)[0][0])
    assert (len(source.split(Split.TEST)), targets) == (8, [0, 0])
