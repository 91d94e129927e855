"""Scales and codes: against exact fractions, and against the vendor's quantization script."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from nibblefit.errors import InputError
from nibblefit_maxim.qat.rounding import weight_scale
from nibblefit_maxim.reading.checkpoint import load_checkpoint
from nibblefit_maxim.reading.float_checkpoint import quantize_checkpoint
from nibblefit_maxim.scales import (
    codes_at,
    floor_log2_of_inverse,
    magnitude_quantile,
    quantize_parameters,
    weight_exponent,
)

finite = st.floats(-8.0, 8.0, width=32, allow_nan=False)
widths = st.sampled_from([1, 2, 4, 8])


@given(st.floats(1e-30, 1e30))
@example(1.0)
@example(0.5)
@example(2.0)
def test_exponent_is_the_exact_floor_of_the_logarithm(limit: float) -> None:
    """2^B ≤ 1/limit < 2^(B+1), checked in exact fractions."""
    power = floor_log2_of_inverse(limit)
    inverse = 1 / Fraction(limit)
    assert Fraction(2) ** power <= inverse < Fraction(2) ** (power + 1)


@given(st.lists(finite, min_size=1, max_size=40), st.floats(0.01, 1.0))
def test_quantile_interpolates_between_neighbours(values: list[float], share: float) -> None:
    """The quantile equals linear interpolation of the sorted magnitudes in exact fractions."""
    magnitudes = sorted(abs(v) for v in values)
    position = Fraction(share * (len(values) - 1))
    below = math.floor(position)
    above = min(below + 1, len(values) - 1)
    low, high = Fraction(magnitudes[below]), Fraction(magnitudes[above])
    exact = low + (high - low) * (position - below)
    found = magnitude_quantile(np.abs(np.array(values, np.float32)), share)
    assert abs(found - float(exact)) <= 1e-12 * max(1.0, float(exact))


@given(st.lists(finite, min_size=1, max_size=30), widths, st.integers(-6, 6))
def test_codes_are_rounded_half_up_and_clipped(
    values: list[float], bits: int, exponent: int
) -> None:
    """Codes equal the formula in exact fractions, but for the vendor's float32 half."""
    found = codes_at(np.array(values, np.float32), exponent, bits)
    for value, code in zip(values, found, strict=True):
        exact = Fraction(value) * Fraction(2) ** (exponent + bits - 1)
        # The vendor adds one half in float32, so a value just below a tie may count as one.
        sums = (math.floor(exact + Fraction(1, 2)), math.floor(exact + Fraction(1, 2) + Fraction(
            max(abs(exact), 1)) / 2**23))  # fmt: skip
        allowed = {min(max(s, -(1 << (bits - 1))), (1 << (bits - 1)) - 1) for s in sums}
        assert int(code) in allowed


@given(
    st.lists(finite, min_size=2, max_size=40),
    widths,
    st.sampled_from([1.0, 0.99, 0.9, 0.5]),
    st.integers(-3, 3),
)
def test_training_and_quantizer_choose_the_same_scale(
    values: list[float], bits: int, quantile: float, threshold: int
) -> None:
    """The scale computed by torch on the device is the one of the numpy formula."""
    weights, bias = np.array(values[1:], np.float32), np.array(values[:1], np.float32)
    power = weight_exponent(weights, bias, bits, quantile, threshold)
    scale = weight_scale(
        torch.from_numpy(weights), torch.from_numpy(bias), bits, quantile, threshold
    )
    assert float(scale) == 2.0**power


def test_zero_weights_get_the_largest_legal_exponent() -> None:
    """A layer without any weight left still has a legal shift."""
    codes = quantize_parameters(np.zeros((2, 2), np.float32), None, 8, threshold=2)
    assert codes.exponent == 23 - 8 - 2
    assert not codes.weights.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    """A diverged training is named as such, with the layer."""
    with pytest.raises(InputError, match="conv1"):
        quantize_parameters(np.array([bad], np.float32), None, 8, layer="conv1")


@pytest.mark.parametrize("name", ["autoenc", "catsdogs", "mnist-xs"])
def test_vendor_float_checkpoint_becomes_the_vendors_integers(shared: Path, name: str) -> None:
    """Weights, biases, shifts and flags equal the vendor script's output, key by key."""
    folder = shared / "vendor" / "maxim" / "quantize"
    found = quantize_checkpoint(load_checkpoint(folder / f"{name}-float.pth.tar"))
    expected = load_checkpoint(folder / f"{name}-q.pth.tar")
    assert set(found.tensors) == set(expected.tensors)
    for key, values in expected.tensors.items():
        assert np.array_equal(found.tensors[key], values), key


def test_weight_width_of_a_module_can_be_chosen(shared: Path) -> None:
    """A chosen width replaces the checkpoint's own and is stored."""
    folder = shared / "vendor" / "maxim" / "quantize"
    source = load_checkpoint(folder / "mnist-xs-float.pth.tar")
    found = quantize_checkpoint(source, {"conv1": 4})
    assert found.layers[0].weight_bits == 4
    assert np.abs(found.layers[0].weights).max() <= 8
    assert found.layers[1].weight_bits == 8
