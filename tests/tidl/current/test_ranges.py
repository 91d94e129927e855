"""Ranges of activations and weights, by the importer's rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tidl.current.executing import quantized
from tests.tidl.networks import classifier

from nibblefit.quantization.histogram import Histogram
from nibblefit_tidl.current.ranges import shrunk
from nibblefit_tidl.current.weights import clipped_magnitude, scale_of, symmetric_step


def _histogram(values: np.ndarray) -> Histogram:
    found = Histogram()
    found.extend_range(float(values.min()), float(values.max()))
    found.add(torch.from_numpy(values))
    return found


def test_outlying_activations_are_left_out() -> None:
    """One value in a hundred thousand goes, one in a hundred stays."""
    values = np.random.default_rng(0).uniform(-1, 1, 100_000).astype(np.float32)
    values[0] = 50.0
    assert shrunk(_histogram(values), 0.01)[1] < 2
    values[:1000] = 50.0
    assert shrunk(_histogram(values), 0.01)[1] > 49
    assert shrunk(_histogram(values), 0.0)[1] >= 50.0


def test_a_constant_tensor_keeps_its_range() -> None:
    """Nothing can be left out of a single value; zero is always inside."""
    assert shrunk(_histogram(np.full(9, 3.0, np.float32)), 0.01) == (0.0, 3.0)
    assert shrunk(_histogram(np.zeros(9, np.float32)), 0.01) == (0.0, 0.0)


def test_global_averages_and_linear_layers_are_widened() -> None:
    """By a quarter, unless ranges are given."""
    model = classifier()
    wide = quantized(model, accuracy_level=2, quantization_scale_type=0).ranges
    plain = quantized(model, accuracy_level=0, quantization_scale_type=0).ranges
    for name in ("mean", "head"):
        assert wide[name][1] == pytest.approx(1.25 * plain[name][1])
    assert wide["b"] == plain["b"]


def test_the_median_method_cuts_large_outliers() -> None:
    """Above 16 medians, at the next power of two minus one; small weights are never cut."""
    values = np.full(999, 1.5)
    large = np.append(values, 100.0)
    assert clipped_magnitude(large, 8, "median") == 31.0  # 16 · 1.5 = 24, next power 32
    assert clipped_magnitude(large / 10, 8, "median") == 10.0  # the largest is below 15
    assert clipped_magnitude(np.append(values, 20.0), 8, "median") == 20.0
    assert clipped_magnitude(np.zeros(4), 8, "median") == 0.0


def test_the_histogram_method_leaves_out_a_share() -> None:
    """A lone outlier among many weights goes."""
    values = np.append(np.random.default_rng(1).uniform(-1, 1, 50_000), 30.0)
    assert clipped_magnitude(values, 8, "histogram") < 1.1
    assert clipped_magnitude(values, 8, "histogram", shrink=0.0) == pytest.approx(30.0)


def test_steps_of_weights() -> None:
    """The largest magnitude over 2^(bits − 1), a power of two where scales must be."""
    assert symmetric_step(1.0, 8, power_of_two=False) == 1 / 128
    assert symmetric_step(1.1, 8, power_of_two=True) == 2 / 128
    assert symmetric_step(1.0, 8, power_of_two=True) == 1 / 128
    assert symmetric_step(0.0, 8, power_of_two=True) == 1.0
    assert scale_of(0.25, power_of_two=True).frac == (2,)
