"""One thresholding step against a search over every threshold there is."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibblefit_tidl.sparsity.threshold import Caps, kept_weights

_WEIGHTS = st.lists(
    st.sampled_from([0.0, 0.001, -0.001, 0.01, -0.02, 0.05, 0.1, -0.19, 0.2, 0.21, -0.5, 1.0, 3.0])
    | st.floats(-2, 2, width=32),
    min_size=1,
    max_size=40,
)


def _brute_force(channel: list[float], fraction: float, caps: Caps) -> list[bool]:
    """Try every magnitude as the threshold; the largest legal one decides."""
    magnitudes = [float(np.float32(abs(weight))) for weight in channel]
    largest = max(magnitudes)
    cap = min(
        float(np.float32(caps.value)),
        float(np.float32(np.float32(largest) * np.float32(caps.ratio))),
        largest,
    )
    removed = 0.0
    for threshold in sorted(set(magnitudes)):
        share = np.float32(sum(m <= threshold for m in magnitudes)) / np.float32(len(magnitudes))
        if threshold < cap and share <= np.float32(fraction):
            removed = threshold
    return [magnitude > removed for magnitude in magnitudes]


@given(_WEIGHTS, st.integers(0, 100), st.sampled_from([0.05, 0.2, 1.0, 10.0]))
def test_a_channel_loses_what_the_largest_legal_threshold_removes(
    channel: list[float], percent: int, ratio: float
) -> None:
    """The selection equals a search over all thresholds, for any channel, fraction and cap."""
    caps = Caps(value=0.2 if ratio < 1 else 10.0, ratio=ratio)
    fraction = float(np.float32(percent / 100))
    kept = kept_weights(np.array([channel], np.float32), fraction, caps)
    assert kept[0].tolist() == _brute_force(channel, fraction, caps)


@given(_WEIGHTS, st.integers(1, 99))
def test_layer_scope_treats_all_channels_as_one(values: list[float], percent: int) -> None:
    """One threshold for the layer is one threshold for the joined channels."""
    weights = np.array([values, values[::-1]], np.float32)
    joined = weights.reshape(1, -1)
    caps = Caps()
    by_layer = kept_weights(weights, percent / 100, caps, "layer")
    assert np.array_equal(by_layer.reshape(1, -1), kept_weights(joined, percent / 100, caps))


def test_a_fine_grid_finds_the_same_zeros() -> None:
    """On random channels a grid of steps of 1e-5 of the largest weight finds the same zeros."""
    rng = np.random.default_rng(7)
    caps = Caps()
    for size, fraction in ((9, 0.3), (72, 0.5), (288, 0.8), (144, 0.81)):
        channel = rng.laplace(0, 0.05, size).astype(np.float32)
        largest = np.abs(channel).max()
        grid = np.arange(0, min(caps.value, caps.ratio * largest), largest * 1e-5)
        counts = (np.abs(channel)[None, :] <= grid[:, None]).sum(axis=1)
        chosen = grid[counts / size <= fraction].max()
        kept = kept_weights(channel[None], fraction, caps)[0]
        assert np.array_equal(kept, np.abs(channel) > chosen)


@pytest.mark.parametrize(("fraction", "zeros"), [(0.0, 0), (0.25, 2), (0.5, 4), (1.0, 8)])
def test_exact_counts_where_no_cap_binds(fraction: float, zeros: int) -> None:
    """Eight different weights lose exactly the asked share."""
    weights = np.arange(1, 9, dtype=np.float32)[None] / 100
    kept = kept_weights(weights, fraction, Caps(1.0, 10.0))
    # Strictly below the largest magnitude, so that one weight always stays.
    assert int((~kept).sum()) == min(zeros, 7)
    assert Fraction(int((~kept).sum()), 8) <= Fraction(fraction)


def test_the_cap_holds_zeros_back() -> None:
    """Nothing at or above a fifth of the largest weight is removed, whatever is asked."""
    weights = np.array([[1.0, 0.2, 0.19, 0.01]], np.float32)
    kept = kept_weights(weights, 1.0, Caps(value=0.5, ratio=0.2))
    assert kept.tolist() == [[True, True, False, False]]


def test_a_channel_of_zeros_stays_one() -> None:
    """All-zero channels are legal and remain removed."""
    assert not kept_weights(np.zeros((2, 4), np.float32), 0.5, Caps()).any()
