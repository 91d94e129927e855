"""Resizing against torch, ONNX's formulas and exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.fixed.operators import resize

SIZES = st.integers(1, 9)
SEED = st.integers(0, 2**32 - 1)


@given(st.tuples(SIZES, SIZES), st.tuples(SIZES, SIZES), st.booleans(), SEED)
def test_bilinear_in_float64_equals_torch(sizes, sizes_out, corners, seed):
    """half_pixel and align_corners are torch's two modes."""
    x = np.random.default_rng(seed).normal(size=(1, 2, *sizes))
    mode = "align_corners" if corners else "half_pixel"
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(x), sizes_out, mode="bilinear", align_corners=corners
    )
    found = resize.resize_linear(x, sizes_out, mode)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-12, atol=1e-12)


@given(SIZES, st.integers(1, 4), SEED)
def test_nearest_equals_torch_for_whole_factors(size, factor, seed):
    """Torch's nearest is asymmetric and floored."""
    x = np.random.default_rng(seed).integers(0, 99, (1, 2, size, size))
    doubles = torch.from_numpy(x.astype(np.float64))
    expected = torch.nn.functional.interpolate(doubles, scale_factor=factor, mode="nearest")
    found = resize.resize_nearest(x, (size * factor, size * factor), "asymmetric", "floor")
    assert (found == expected.numpy()).all()


@pytest.mark.parametrize(("mode", "coordinates", "choice"), [
    ("nearest", "asymmetric", "floor"), ("nearest-exact", "half_pixel", "round_prefer_ceil"),
])  # fmt: skip
def test_nearest_equals_torch_for_all_small_sizes(mode, coordinates, choice):
    """Exact fractions choose the same neighbour as torch's float32 positions."""
    for size in range(1, 20):
        x = torch.arange(size, dtype=torch.float64)[None, None]
        for size_out in range(1, 40):
            expected = torch.nn.functional.interpolate(x, size_out, mode=mode)[0, 0]
            found = resize.nearest_indices(size, size_out, coordinates, choice)
            assert found.tolist() == expected.tolist(), (size, size_out)


@given(SIZES, SIZES, st.sampled_from(["half_pixel", "pytorch_half_pixel", "asymmetric",
                                      "align_corners"]), st.integers(1, 12), SEED)  # fmt: skip
def test_integer_weights_are_rounded_shares_that_add_up(size, size_out, mode, bits, seed):
    """Each position: upper weight ⌊f·2^bits + ½⌋, lower the rest, neighbours clamped."""
    x = np.random.default_rng(seed).integers(-128, 128, (1, 1, size))
    found = resize.resize_linear(x, (size_out,), mode, bits)
    for i in range(size_out):
        if mode == "align_corners":
            p = Fraction(i * (size - 1), size_out - 1) if size_out > 1 else Fraction(0)
        elif mode == "asymmetric":
            p = Fraction(i * size, size_out)
        elif mode == "pytorch_half_pixel" and size_out == 1:
            p = Fraction(0)
        else:
            p = Fraction((2 * i + 1) * size, 2 * size_out) - Fraction(1, 2)
        low = math.floor(p)
        upper = math.floor((p - low) * 2**bits + Fraction(1, 2))
        a, b = (int(x[0, 0, min(max(k, 0), size - 1)]) for k in (low, low + 1))
        assert found[0, 0, i] == a * (2**bits - upper) + b * upper


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("floor", [0, 0, 1]), ("ceil", [0, 1, 1]), ("round_prefer_floor", [0, 0, 1]),
     ("round_prefer_ceil", [0, 1, 1])],
)  # fmt: skip
def test_nearest_modes_break_the_tie_as_named(mode, expected):
    """Three outputs of two inputs with aligned corners lie at 0, ½ and 1."""
    assert resize.nearest_indices(2, 3, "align_corners", mode).tolist() == expected


def test_two_axes_carry_twice_the_weight_bits():
    """A constant image keeps its value times 2^(2·bits)."""
    x = np.full((1, 1, 3, 4), 5)
    found = resize.resize_linear(x, (7, 2), "half_pixel", 11)
    assert np.unique(found).tolist() == [5 << 22]


def test_weights_that_overflow_are_refused():
    """The extra fractional bits must fit int64."""
    with pytest.raises(OverflowError, match="fractional bits"):
        resize.resize_linear(np.full((1, 1, 2), 2**60), (3,), "half_pixel", 11)
