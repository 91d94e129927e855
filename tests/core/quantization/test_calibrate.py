"""Calibration: exact histograms in bounded memory, and the range methods on top of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.core.quantization.networks import Net, inputs

from nibblefit.errors import InputError
from nibblefit.fixed.formats import Format, Scale
from nibblefit.ir.numerics import ScaleKind, TensorRule
from nibblefit.ir.ops import Op
from nibblefit.quantization import formats
from nibblefit.quantization.calibrate import observe
from nibblefit.quantization.histogram import HALF_BINS, Histogram
from nibblefit.quantization.ranges import Choice, Method, choose_format

REAL = TensorRule(scale=ScaleKind.REAL)


def _observed(*parts: np.ndarray) -> Histogram:
    histogram = Histogram()
    for part in parts:
        values = torch.from_numpy(np.asarray(part, np.float32))
        histogram.extend_range(float(values.min()), float(values.max()))
        histogram.add(values)
    return histogram


@given(
    st.lists(
        st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=8), min_size=1, max_size=8
    ),
    st.randoms(use_true_random=False),
)
def test_a_histogram_depends_on_the_values_alone(parts: list[list[float]], random: object) -> None:
    """Growing ranges, other orders and other batches give the same counts and extremes."""
    grown = _observed(*map(np.array, parts))
    flat = [value for part in parts for value in part]
    random.shuffle(flat)  # type: ignore[attr-defined]
    whole = _observed(np.array(flat))
    assert (grown.lo, grown.hi, grown.total) == (min(flat), max(flat), len(flat))
    assert grown.width == whole.width
    assert np.array_equal(grown.counts(), whole.counts())


def test_bins_hold_the_values_they_should() -> None:
    """Counts equal those of brute-force binning by exact floor division."""
    values = inputs(1, (5000,), seed=3)[0]
    histogram = _observed(values[:100] * 0.01, values)
    both = np.concatenate([values[:100] * np.float32(0.01), values]).astype(np.float64)
    index = np.floor(both / histogram.width).astype(int) + HALF_BINS
    assert np.array_equal(histogram.counts(), np.bincount(index, minlength=2 * HALF_BINS))


def test_values_that_are_not_finite_are_refused() -> None:
    """Infinite activations are an error of the network or the data, named by tensor."""
    net = Net((2,))
    model = net.builder.finish([net.add(Op.RELU, [net.x], "r")])
    with pytest.raises(InputError, match="tensor 'r'"):
        observe(model, [np.full((1, 2), np.inf, np.float32)], ["r"])
    with pytest.raises(InputError, match="no calibration data"):
        observe(model, [], ["r"])


def test_calibration_does_not_depend_on_the_batch_size() -> None:
    """One pass, any batches: same extremes and counts; large tensors are sampled, not cut."""
    net = Net((3, 100, 90))
    model = net.builder.finish([net.add(Op.RELU, [net.x], "r")])
    data = inputs(6, (3, 100, 90))
    seen: list[int] = []
    one = observe(model, [data], ["x", "r"], on_batch=seen.append)
    many = observe(model, [data[:1], data[1:4], data[4:]], ["x", "r"], on_batch=seen.append)
    assert seen == [6, 1, 3, 2]
    for name in one:
        assert np.array_equal(one[name].counts(), many[name].counts())
        assert (one[name].lo, one[name].hi) == (many[name].lo, many[name].hi)
    assert one["x"].hi == data.max()
    assert one["x"].total < data.size


def _error(values: np.ndarray, fmt: Format) -> float:
    step, zero = fmt.scale.values()[0], fmt.zero_point[0]
    codes = np.clip(np.rint(values / step) + zero, fmt.lo, fmt.hi)
    return float(np.mean((values - (codes - zero) * step) ** 2))


def _chosen(values: np.ndarray, method: Method, rule: TensorRule = REAL, bits: int = 8,
            percentile: float = 99.0) -> Format:  # fmt: skip
    signed = formats.is_signed(rule, bool(values.min() >= 0))
    return choose_format(_observed(values), Choice(method, percentile),
                         lambda lo, hi: formats.cover(lo, hi, rule, bits, signed))  # fmt: skip


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("rule", [REAL, TensorRule(), replace(REAL, symmetric=False)])
def test_mse_is_as_good_as_the_best_of_a_fine_search(rule: TensorRule, bits: int) -> None:
    """The squared error is within 2 % of brute force over clipping ranges, on the true values."""
    values = np.random.default_rng(0).laplace(size=40000).astype(np.float32)
    found = _error(values, _chosen(values, Method.MSE, rule, bits))
    lo, hi = float(values.min()), float(values.max())
    best = min(
        _error(values, formats.cover(lo * f, hi * f, rule, bits, signed=True))
        for f in np.linspace(0.02, 1, 300)
    )
    assert found <= 1.02 * best
    assert found <= _error(values, _chosen(values, Method.MINMAX, rule, bits))


def test_minmax_covers_everything_and_percentile_cuts_its_share() -> None:
    """The covered range is that of the values asked for, within one bin."""
    values = inputs(1, (40000,), seed=5)[0]
    wide = _chosen(values, Method.MINMAX)
    assert wide.hi * wide.scale.values()[0] >= np.abs(values).max()
    cut = _chosen(values, Method.PERCENTILE, percentile=99.0)
    wanted = np.quantile(np.abs(values), 0.99)
    assert cut.hi * cut.scale.values()[0] == pytest.approx(wanted, rel=0.01)


def test_entropy_ignores_far_outliers() -> None:
    """One value a hundred times too large does not cost all resolution; a flat range is kept."""
    values = inputs(1, (40000,), seed=5)[0]
    outlier = np.append(values, np.float32(400.0))
    found = _chosen(outlier, Method.ENTROPY)
    # 2,048 bins over 512, at least one bin per level: a twelfth of what was seen.
    assert found.hi * found.scale.values()[0] < 40
    flat = np.random.default_rng(1).uniform(-1, 1, 40000)
    kept = _chosen(flat, Method.ENTROPY)
    assert kept.hi * kept.scale.values()[0] > 0.9


@given(st.floats(-1e4, 0), st.floats(0, 1e4), st.integers(2, 16),
       st.booleans(), st.sampled_from(list(ScaleKind)))  # fmt: skip
def test_a_format_covers_its_range(
    lo: float, hi: float, bits: int, symmetric: bool, kind: ScaleKind
) -> None:
    """Both ends are within a step of a code, zero is exact, and real scales are float32."""
    rule = TensorRule(scale=kind, symmetric=symmetric)
    fmt = formats.cover(lo, hi, rule, bits, signed=True)
    step, zero = fmt.scale.values()[0], fmt.zero_point[0]
    assert float(np.float32(step)) == step
    assert fmt.lo <= zero <= fmt.hi
    assert (fmt.hi - zero + 1) * step >= hi
    assert (zero - fmt.lo + 1) * step >= -lo
    if symmetric:
        assert fmt.zero_point == (0,)
        assert fmt.hi * step >= hi * (1 - 1e-12)


def test_the_smallest_power_of_two_is_chosen() -> None:
    """A step that is itself a power of two is kept; anything above it doubles."""
    assert formats.frac_of(0.125) == 3
    assert formats.frac_of(0.1250001) == 2
    assert formats.frac_of(3.0) == -2
    assert formats.symmetric_scale(ScaleKind.POWER_OF_TWO, 0.0) == Scale.power_of_two(0)
