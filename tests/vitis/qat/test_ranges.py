"""Where thresholds start."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nibblefit_vitis.qat.ranges import (
    activation_threshold,
    log2_of_position,
    log2_threshold,
    parameter_threshold,
    position_of,
)


def test_parameters_start_at_mean_and_three_deviations() -> None:
    """By the population's deviation; a single or zero value has a threshold too."""
    values = torch.tensor([1.0, 2.0, 3.0, 6.0])
    deviation = math.sqrt((4 + 1 + 0 + 9) / 4)
    assert parameter_threshold(values) == pytest.approx(3 + 3 * deviation)
    assert parameter_threshold(-values) == pytest.approx(3 + 3 * deviation)
    assert parameter_threshold(torch.tensor([5.0])) == 5.0
    assert parameter_threshold(torch.zeros(4)) == 2.0**-18


def _slow(values: np.ndarray, bits: int) -> float:
    """Search the same threshold bin by bin, with loops."""
    magnitudes = np.abs(values).ravel()
    bins, top = int(math.sqrt(magnitudes.size)), magnitudes.max()
    edges = np.linspace(0, top, bins + 1)
    counts = np.histogram(magnitudes, edges)[0]
    cdf, total = [], 0
    for count in counts:
        total += count
        cdf.append(total / magnitudes.size)
    codes, best, least = 2 ** (bits - 1), top, math.inf
    for end in range(codes + 1, bins):
        kept = [*cdf[:end], 1.0]
        level = [_line(kept, k * end / (codes - 1)) for k in range(codes)]
        loss = 0.0
        for place, p in enumerate(cdf):
            q = _line(level, place * (codes - 1) / end) if place <= end else 1.0
            if p > 0 and q > 0:
                loss += (p - q) * math.log2(p / q)
        if loss < least - 1e-15:
            best, least = (end + 0.5) * top / bins, loss
    return best


def _line(values: list[float], place: float) -> float:
    low = min(int(place), len(values) - 2)
    return values[low] + (values[low + 1] - values[low]) * (place - low)


@pytest.mark.parametrize("bits", [3, 4])
def test_activations_start_where_the_distribution_changes_least(bits: int) -> None:
    """Against a slow search; an outlier is cut off."""
    values = np.random.default_rng(bits).normal(size=2500)
    values[0] = 20.0
    found = activation_threshold(torch.from_numpy(values), bits)
    assert found == pytest.approx(_slow(values, bits), rel=1e-9)
    assert found < 20


def test_large_tensors_are_searched_in_strides() -> None:
    """The same threshold as a search of every bin, where the divergence has one valley."""
    values = np.random.default_rng(1).laplace(size=400_000)
    found = activation_threshold(torch.from_numpy(values), 4)
    whole = activation_threshold(torch.from_numpy(values[:40_000]), 4)
    assert found == pytest.approx(whole, rel=0.3)
    assert found < np.abs(values).max()


def test_few_or_strange_values_take_their_maximum() -> None:
    """Fewer bins than codes leave nothing to search; zeros and infinities have a floor."""
    assert activation_threshold(torch.tensor([0.5, -3.0]), 8) == 3.0
    assert activation_threshold(torch.zeros(8), 8) == 2.0**-18
    assert activation_threshold(torch.tensor([math.inf]), 8) == 2.0**-18


def test_positions_and_thresholds_belong_together() -> None:
    """Fp = bits − 1 − ⌈log2 t⌉, capped at 12 (15 above 8 bits); imported ones come back."""
    assert position_of(log2_threshold(4.0), 8) == 5
    assert position_of(log2_threshold(4.1), 8) == 4
    assert position_of(log2_threshold(0.0), 8) == 12
    assert position_of(log2_threshold(0.0), 16) == 15
    for bits in (4, 8, 16):
        for position in range(-5, 12):
            assert position_of(log2_of_position(position, bits), bits) == position
