"""Reals to codes and back, against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.fixed.exact import clamp, rounded

from nibblefit.errors import InputError
from nibblefit.fixed.formats import Accumulator, Format, Overflow, Rounding, Scale
from nibblefit.fixed.quantize import dequantize, quantize
from nibblefit.fixed.rounding import round_real

ROUNDINGS = st.sampled_from(list(Rounding))
REALS = st.floats(-1e6, 1e6)


@given(REALS, ROUNDINGS)
def test_round_real_equals_the_fraction(value, rounding):
    """A double is a fraction; rounding it gives the fraction's rounding."""
    assert round_real(np.array([value]), rounding).tolist() == [rounded(Fraction(value), rounding)]


@pytest.mark.parametrize("value", [0.49999999999999994, -0.49999999999999994, 2.0**52 + 1, -0.5])
@pytest.mark.parametrize("rounding", list(Rounding))
def test_round_real_is_exact_where_adding_a_half_is_not(value, rounding):
    """The neighbours of one half and large odd numbers round as their fractions do."""
    assert round_real(np.array([value]), rounding)[0] == rounded(Fraction(value), rounding)


@given(REALS, st.integers(-6, 12), st.integers(-100, 100), ROUNDINGS)
def test_power_of_two_codes_equal_the_exact_formula(value, frac, zero, rounding):
    """clamp(round(x · 2^frac) + zero point) in exact fractions."""
    fmt = Format(8, True, Scale.power_of_two(frac), (zero,))
    expected = clamp(rounded(Fraction(value) * Fraction(2) ** frac, rounding) + zero, -128, 127)
    assert quantize([value], fmt, rounding).tolist() == [expected]


@given(st.integers(-128, 127), st.floats(1e-6, 1e3), st.integers(-128, 127))
def test_every_code_survives_the_round_trip(code, step, zero):
    """Quantizing what a code means is the identity on codes, whatever the scale."""
    fmt = Format(8, True, Scale.real(step), (zero,))
    raw = np.array([code])
    assert quantize(dequantize(raw, fmt), fmt, Rounding.HALF_EVEN).tolist() == [code]


def test_zero_is_exact():
    """Real zero becomes the zero point, and the zero point means zero."""
    fmt = Format(8, False, Scale.real(0.037), (17,))
    assert quantize([0.0], fmt, Rounding.HALF_AWAY).tolist() == [17]
    assert dequantize(np.array([17]), fmt).tolist() == [0.0]


def test_entries_per_channel_lie_along_the_axis():
    """Scale and zero point of a channel act on that channel only."""
    fmt = Format(8, True, Scale.power_of_two(0, 2), (0, 1), axis=1)
    raw = quantize(np.ones((2, 2, 3)), fmt, Rounding.HALF_UP)
    assert np.unique(raw[:, 0]).tolist() == [1]
    assert np.unique(raw[:, 1]).tolist() == [5]
    assert (dequantize(raw, fmt) == 1.0).all()


def test_infinities_saturate_and_not_a_number_is_refused():
    """Infinite reals end at the range's end; NaN has no code."""
    fmt = Format(8)
    assert quantize([np.inf, -np.inf], fmt, Rounding.HALF_UP).tolist() == [127, -128]
    with pytest.raises(InputError, match="not a number"):
        quantize([np.nan], fmt, Rounding.HALF_UP)


def test_formats_state_their_range_and_name():
    """Ranges, names and membership of codes."""
    assert (Format(4).lo, Format(4).hi, Format(4).name) == (-8, 7, "int4")
    assert (Format(8, False).lo, Format(8, False).hi, Format(8, False).name) == (0, 255, "uint8")
    assert Format(64, False).hi == 2**63 - 1
    assert Format(8).holds(np.array([-128, 127]))
    assert not Format(8).holds(np.array([128]))
    assert Format(8).holds(np.zeros(0, dtype=np.int64))
    assert Accumulator().overflow is Overflow.FORBID


@pytest.mark.parametrize(
    "make",
    [
        lambda: Format(0),
        lambda: Format(65),
        lambda: Format(8, True, Scale.power_of_two(1, 2)),
        Scale,
        lambda: Scale((1,), (0.5,)),
        lambda: Scale.real(0.0),
        lambda: Scale.real(float("inf")),
        Scale.power_of_two,
    ],
)
def test_malformed_formats_are_refused(make):
    """Widths, scales and axes are checked where they are made."""
    with pytest.raises(ValueError, match=r"."):
        make()


def test_scales_know_their_kind():
    """Power-of-two scales are exact; values come as float64."""
    assert Scale.power_of_two(3).is_power_of_two
    assert not Scale.real(0.1).is_power_of_two
    assert Scale.power_of_two(3, -1).values().tolist() == [0.125, 2.0]
    assert Scale.real(0.1).values().tolist() == [0.1]
    assert len(Scale.real(0.1, 0.2)) == 2
