"""Scaling of stored values to real inputs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.data.scaling import UINT8_FULL_SCALE, Scaling
from nibblefit.errors import RecipeError


def test_images_map_exactly_to_signed_range():
    """Every 8-bit value u becomes exactly u/128 - 1, the real value of the code u - 128."""
    stored = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    found = Scaling(0, UINT8_FULL_SCALE, -1.0, 1.0).apply(stored).reshape(-1)
    assert found.dtype == np.float32
    assert [Fraction(float(v)) for v in found] == [Fraction(u, 128) - 1 for u in range(256)]


def test_digits_map_exactly_to_unit_range():
    """Counts 0…16 become sixteenths, the end of the scale included."""
    stored = np.arange(17, dtype=np.uint8).reshape(1, 1, 17)
    found = Scaling(0, 16).apply(stored).reshape(-1)
    assert [Fraction(float(v)) for v in found] == [Fraction(u, 16) for u in range(17)]


@given(
    st.integers(0, 255),
    st.tuples(st.integers(-8, 8), st.integers(1, 16)),
    st.integers(-4, 4),
    st.integers(1, 5),
)
def test_table_and_formula_agree(value, low_width, mean_quarters, std_halves):
    """8-bit values through the table equal the formula in exact fractions, rounded once."""
    low, width = low_width
    scaling = Scaling(0, 256, low, low + width, (mean_quarters / 4,), (std_halves / 2,))
    found = scaling.apply(np.full((1, 1, 1), value, np.uint8))
    wide = scaling.apply(np.full((1, 1, 1), value, np.int64))
    exact = (Fraction(value, 256) * width + low - Fraction(mean_quarters, 4)) / Fraction(
        std_halves, 2
    )
    assert found.item() == wide.item() == np.float32(float(exact))


def test_mean_and_std_apply_per_channel():
    """Channel c uses entry c of mean and std, in 8-bit and in float data alike."""
    scaling = Scaling(0, 256, 0, 1, (0.0, 0.5), (1.0, 0.25))
    stored = np.array([[[128], [64]]], np.uint8)
    assert scaling.apply(stored).tolist() == [[[0.5], [-1.0]]]
    assert scaling.apply(stored.astype(np.float32)).tolist() == [[[0.5], [-1.0]]]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [((0, 0), "empty"), ((0, 1, 1, 1), "empty"), ((0, 1, 0, 1, (), (0.0,)), "std")],
)
def test_impossible_scalings_are_refused(arguments, word):
    """Empty ranges and zero divisors are reported, not divided by."""
    with pytest.raises(RecipeError, match=word):
        Scaling(*arguments)


def test_wrong_number_of_channels_is_refused():
    """Two means for three channels name both numbers."""
    with pytest.raises(RecipeError, match=r"2 numbers.*3 channels"):
        Scaling(0, 1, mean=(0.1, 0.2)).check_channels(3)
