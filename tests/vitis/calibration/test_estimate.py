"""Formats from the values of one tensor: float scales, channels, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.errors import InputError, UnsupportedError
from nibblefit_vitis.calibration.estimate import estimate
from nibblefit_vitis.formats import FixPosition, FloatScale
from nibblefit_vitis.settings import Method, RoundMode, ScaleType, TensorSetting
from nibblefit_vitis.simulation.quantizer import quantizer

FLOAT = TensorSetting(method=Method.MAXMIN, scale_type=ScaleType.FLOAT)
ASYMMETRIC = replace(FLOAT, symmetry=False)


def test_symmetric_scale_reaches_the_largest_magnitude() -> None:
    """The highest code stands for the largest magnitude."""
    assert estimate("x", torch.tensor([-2.0, 1.0]), FLOAT) == FloatScale(
        8, (2 / 127,), (0,), (2.0,)
    )


def test_asymmetric_range_includes_zero_unless_parity_asks_for_the_original() -> None:
    """All-positive values keep a zero point inside the codes; the original's is negative."""
    values = torch.tensor([2.0, 4.0])
    ours = estimate("x", values, ASYMMETRIC)
    original = estimate("x", values, ASYMMETRIC, parity=True)
    assert isinstance(ours, FloatScale)
    assert isinstance(original, FloatScale)
    assert (ours.scale, ours.zero_point, ours.unsigned) == ((4 / 255,), (0,), True)
    assert (original.scale, original.zero_point) == ((2 / 255,), (-255,))


@given(
    lo=st.floats(-100, 0, width=32), hi=st.floats(0, 100, width=32),
    method=st.sampled_from([FLOAT, ASYMMETRIC]),
)  # fmt: skip
def test_scales_reproduce_their_range(lo: float, hi: float, method: TensorSetting) -> None:
    """Both ends of a range come back within one step."""
    found = estimate("x", torch.tensor([lo, hi]), method)
    assert isinstance(found, FloatScale)
    back = quantizer(found, method).real(torch.tensor([lo, hi], dtype=torch.float64))
    assert (back - torch.tensor([lo, hi])).abs().max() <= found.scale[0] * (1 + 1e-6)


def test_unsigned_values_with_negatives_are_refused_with_the_tensors_name() -> None:
    """Unsigned symmetric codes cannot hold them; the text says what to set."""
    unsigned = replace(FLOAT, signed=False)
    with pytest.raises(InputError, match=r"'act3' has negative values .*unsigned") as refusal:
        estimate("act3", torch.tensor([-0.1, 1.0]), unsigned)
    assert '"signed": true' in refusal.value.hint
    assert estimate("act3", torch.tensor([0.0, 1.0]), unsigned) == FloatScale(
        8, (1 / 255,), (0,), (1.0,), unsigned=True
    )


def test_channels_get_scales_and_positions_of_their_own() -> None:
    """Weights per channel: the largest magnitude of each slice, power-of-two ones searched."""
    weights = torch.tensor([[[4.0], [0.5]], [[-1.0], [0.25]]])
    found = estimate("w", weights, replace(FLOAT, per_channel=True), axis=1)
    assert found == FloatScale(8, (4 / 127, 0.5 / 127), (0, 0), (4.0, 0.5), 1)
    setting = TensorSetting(method=Method.MAXMIN, per_channel=True)
    assert estimate("w", weights, setting, axis=1) == FixPosition(8, 4, (4, 7), 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused(value: float) -> None:
    """The text names the tensor."""
    with pytest.raises(InputError, match="'w' holds a value that is infinite or not a number"):
        estimate("w", torch.tensor([1.0, value]), TensorSetting())


@pytest.mark.parametrize("setting", [TensorSetting(), FLOAT, ASYMMETRIC])
@pytest.mark.parametrize("values", [torch.zeros(5), torch.zeros(0), torch.full((2,), 1e-42)])
def test_zero_and_empty_tensors_stay_zero(setting: TensorSetting, values: torch.Tensor) -> None:
    """All-zero, empty and denormal tensors get a finite format that gives zero back."""
    found = estimate("x", values, setting)
    if isinstance(found, FixPosition):
        assert found.position == 12
    assert quantizer(found, setting).real(values).abs().sum() < 1e-40


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"datatype": "bfloat16"}, "bfloat16"),
        ({"method": Method.MSE}, "power-of-two"),
        ({"symmetry": False}, "zero points"),
        ({"scale_type": ScaleType.FLOAT}, "diffs"),
        ({"scale_type": ScaleType.FLOAT, "method": Method.ENTROPY, "symmetry": False}, "entropy"),
    ],
)
def test_contradicting_settings_are_refused(change: dict[str, object], says: str) -> None:
    """One line names the tensor, what contradicts and what to use."""
    with pytest.raises(UnsupportedError, match=f"'x' is configured for .*{says}"):
        estimate("x", torch.ones(3), replace(TensorSetting(), **change))  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", RoundMode)
@pytest.mark.parametrize("method", [Method.PERCENTILE, Method.MSE, Method.ENTROPY])
def test_histogram_methods_clip_rare_outliers(method: Method, mode: RoundMode) -> None:
    """One value far out of many is clipped, whichever rounding is set."""
    values = torch.randn(20000, generator=torch.Generator().manual_seed(1))
    values[0] = 40.0
    found = estimate("x", values, replace(FLOAT, method=method, round_mode=mode))
    assert isinstance(found, FloatScale)
    assert 2.0 < found.float_max[0] < 39.0


def test_percentile_covers_its_share() -> None:
    """The clipping magnitude is within one of 2048 bins below the true quantile."""
    values = torch.rand(100_000, generator=torch.Generator().manual_seed(2))
    setting = replace(FLOAT, method=Method.PERCENTILE, percentage=90.0)
    found = estimate("x", values, setting)
    assert isinstance(found, FloatScale)
    assert found.float_max[0] == pytest.approx(
        float(np.quantile(values.numpy(), 0.9)), abs=1 / 2048
    )


def test_mse_is_no_worse_than_the_full_range() -> None:
    """The chosen scale leaves no more squared error than the range's own."""
    values = torch.randn(5000, generator=torch.Generator().manual_seed(4)) ** 3
    errors = []
    for method in (Method.MSE, Method.MAXMIN):
        setting = replace(FLOAT, method=method, bit_width=4)
        rounds = quantizer(estimate("x", values, setting), setting)
        errors.append(float((rounds.real(values) - values).square().sum()))
    assert errors[0] < errors[1]
