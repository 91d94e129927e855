"""The pooled statistic: one pass, the same result however samples are batched."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.vitis.calibration.networks import branches, floats, images, powers

from nibblefit.quantization.histogram import Histogram
from nibblefit_vitis.calibration import calibrate
from nibblefit_vitis.calibration.estimate import estimate
from nibblefit_vitis.calibration.pooled import pooled_format, sampled
from nibblefit_vitis.calibration.positions import squared_error
from nibblefit_vitis.calibration.samples import chunks
from nibblefit_vitis.formats import FixPosition, FloatScale
from nibblefit_vitis.settings import Kind, Method, NetworkSetting, RoundMode, TensorSetting

SETTINGS = {
    "positions": powers(),
    "positions without correction": powers(include_bias_corr=False),
    "scales": floats(Method.MSE, include_bias_corr=False),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_result_does_not_depend_on_the_batch_size(name: str) -> None:
    """Batches of 1, 5, 8 and 20, ragged ones too: bitwise the same formats and corrections."""
    graph, samples = branches(), images(20)
    results = [
        calibrate(graph, SETTINGS[name], [samples[i : i + size] for i in range(0, 20, size)])
        for size in (1, 5, 8, 20)
    ]
    for other in results[1:]:
        assert other.formats == results[0].formats
        assert set(other.corrections) == set(results[0].corrections)
        for bias, values in other.corrections.items():
            np.testing.assert_array_equal(values, results[0].corrections[bias])


def test_the_result_does_not_depend_on_the_number_of_threads() -> None:
    """One thread, or chunks side by side on three: the same bits, and torch's setting stays."""
    graph, samples, before = branches(), images(20), torch.get_num_threads()
    results = []
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            results.append(calibrate(graph, powers(), [samples]))
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(before)
    assert results[0].formats == results[1].formats
    for bias, values in results[0].corrections.items():
        np.testing.assert_array_equal(values, results[1].corrections[bias])


@given(
    st.lists(st.integers(0, 20), max_size=8), st.integers(1, 9)
)  # fmt: skip
def test_chunks_hold_the_same_samples_in_order(sizes: list[int], size: int) -> None:
    """All chunks but the last are full, and nothing is lost."""
    samples = np.arange(sum(sizes), dtype=np.float32)[:, None]
    ends = np.cumsum([0, *sizes])
    found = list(chunks((samples[a:b] for a, b in itertools.pairwise(ends)), size))
    assert all(len(chunk) == size for chunk in found[:-1])
    np.testing.assert_array_equal(np.concatenate([*found, samples[:0]]), samples)


@pytest.mark.parametrize("mode", [RoundMode.HALF_UP, RoundMode.HALF_EVEN])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("shape", ["normal", "rectified", "heavy", "one-sided", "constant"])
def test_pooled_positions_are_as_good_as_an_exact_search(
    mode: RoundMode, bits: int, shape: str
) -> None:
    """The position found from counts leaves at most 1 % more error than the best of all."""
    values = torch.randn(1, 20000, generator=torch.Generator().manual_seed(7)) * 3.7
    values = {"normal": values, "rectified": values.relu(), "heavy": values**3,
              "one-sided": values.abs() + 2, "constant": values * 0 + 0.7}[shape]  # fmt: skip
    setting = TensorSetting(bit_width=bits, round_mode=mode)
    histogram = Histogram()
    sampled("x", values).into(histogram)
    found, exact = pooled_format("x", histogram, setting), estimate("x", values, setting)
    assert isinstance(found, FixPosition)
    assert isinstance(exact, FixPosition)
    best = squared_error(values, [exact.position], setting)[0]
    assert squared_error(values, [found.position], setting)[0] <= 1.01 * best + 1e-9


def test_wide_codes_are_searched_beyond_the_width_of_bins() -> None:
    """Codes of 16 bits are finer than bins; the position still is the exact search's."""
    values = torch.randn(1, 30000, generator=torch.Generator().manual_seed(8)) * 300
    setting = TensorSetting(bit_width=16)
    histogram = Histogram()
    sampled("x", values).into(histogram)
    assert pooled_format("x", histogram, setting) == estimate("x", values, setting)


@pytest.mark.parametrize("method", [Method.MAXMIN, Method.PERCENTILE, Method.MSE, Method.ENTROPY])
def test_pooled_scales_agree_with_those_of_the_tensor(method: Method) -> None:
    """Every method clips within 3 % of where it does on the values themselves."""
    values = torch.randn(1, 16000, generator=torch.Generator().manual_seed(9))
    setting = floats(method).base[Kind.ACTIVATION]
    histogram = Histogram()
    sampled("x", values).into(histogram)
    found, exact = pooled_format("x", histogram, setting), estimate("x", values, setting)
    assert isinstance(found, FloatScale)
    assert isinstance(exact, FloatScale)
    tolerance = 0.25 if method is Method.ENTROPY else 0.03
    assert found.scale[0] == pytest.approx(exact.scale[0], rel=tolerance)


def test_asymmetric_pooled_ranges_are_exact() -> None:
    """Zero points come from the exact extremes."""
    setting = replace(floats().base[Kind.ACTIVATION], symmetry=False)
    values = torch.tensor([[-1.0, 3.0, 0.5]])
    histogram = Histogram()
    sampled("x", values).into(histogram)
    assert pooled_format("x", histogram, setting) == estimate("x", values, setting)


def test_mixed_statistics_calibrate_batch_by_batch() -> None:
    """A pooled layer among modal ones counts the values of all batches."""
    graph, samples = branches(), images(12)
    modal = NetworkSetting()
    mixed = replace(modal, layers={"head": powers().base})
    found = calibrate(graph, mixed, [samples[:6], samples[6:]])
    assert set(found.formats.outputs) == set(calibrate(graph, modal, [samples]).formats.outputs)
    assert len(found.formats.history["head"]) == 1
    assert len(found.formats.history["relu"]) == 2
