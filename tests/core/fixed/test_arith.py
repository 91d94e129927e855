"""Primitives of integer arithmetic against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.fixed.exact import INT64_HI, INT64_LO, rounded

from nibblefit.fixed import arith
from nibblefit.fixed.formats import Rounding

ROUNDINGS = list(Rounding)
WIDE = st.integers(INT64_LO, INT64_HI)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("bits", range(9))
def test_shift_right_equals_the_fraction_for_all_small_codes(rounding, bits):
    """Every 12-bit code, shifted by 0 to 8 bits, equals the rounded fraction."""
    codes = np.arange(-2048, 2048, dtype=np.int64)
    expected = [rounded(Fraction(c, 2**bits), rounding) for c in codes.tolist()]
    assert arith.shift_right(codes, bits, rounding).tolist() == expected


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("divisor", [1, 2, 3, 4, 5, 6, 7, 9, 49, 64])
def test_divide_equals_the_fraction_for_all_small_codes(rounding, divisor):
    """Every 11-bit code divided by common window sizes equals the rounded fraction."""
    codes = np.arange(-1024, 1024, dtype=np.int64)
    expected = [rounded(Fraction(c, divisor), rounding) for c in codes.tolist()]
    assert arith.divide(codes, divisor, rounding).tolist() == expected


@given(WIDE, st.integers(0, 62), st.sampled_from(ROUNDINGS))
def test_shift_right_is_exact_over_all_of_int64(raw, bits, rounding):
    """Codes up to the ends of int64 and shifts up to 62 never lose a bit."""
    result = arith.shift_right(np.array([raw]), bits, rounding)
    assert result.tolist() == [rounded(Fraction(raw, 2**bits), rounding)]


@given(WIDE, st.integers(1, INT64_HI), st.sampled_from(ROUNDINGS))
def test_divide_is_exact_over_all_of_int64(raw, divisor, rounding):
    """Codes and divisors up to the ends of int64 never lose a bit."""
    result = arith.divide(np.array([raw]), divisor, rounding)
    assert result.tolist() == [rounded(Fraction(raw, divisor), rounding)]


def test_array_parameters_broadcast_per_channel():
    """A (channels, 1) parameter shifts and divides every channel by its own amount."""
    raw = np.array([[[7, -7], [7, -7]]])
    bits = np.array([[0], [1]])
    assert arith.shift_right(raw, bits, Rounding.FLOOR).tolist() == [[[7, -7], [3, -4]]]
    assert arith.shift_left(raw, bits).tolist() == [[[7, -7], [14, -14]]]
    assert arith.divide(raw, bits + 1, Rounding.HALF_UP).tolist() == [[[7, -7], [4, -3]]]


@pytest.mark.parametrize(("a", "b", "c"), [(1, 1, 2), (1, 2, 3), (2, 2, 4)])
def test_two_roundings_are_not_one(a, b, c):
    """Rounding half up by a and then b differs from a + b; flooring never does."""
    codes = np.arange(-4096, 4096)
    once = arith.shift_right(codes, c, Rounding.HALF_UP)
    twice = arith.shift_right(arith.shift_right(codes, a, Rounding.HALF_UP), b, Rounding.HALF_UP)
    assert (once != twice).any()
    floor = arith.shift_right(arith.shift_right(codes, a, Rounding.FLOOR), b, Rounding.FLOOR)
    assert (floor == arith.shift_right(codes, c, Rounding.FLOOR)).all()


def test_rounding_twice_by_one_and_two_differs_on_one_code_in_eight():
    """The share stated in the manual: shift 1 then 2 against shift 3, half up."""
    codes = np.arange(-4096, 4096)
    once = arith.shift_right(codes, 3, Rounding.HALF_UP)
    twice = arith.shift_right(arith.shift_right(codes, 1, Rounding.HALF_UP), 2, Rounding.HALF_UP)
    assert np.mean(once != twice) == 1 / 8


@pytest.mark.parametrize(("bits", "share"), [(1, 1 / 4), (4, 1 / 32)])
def test_half_up_and_half_even_differ_on_the_stated_share_of_codes(bits, share):
    """After one bit of shift 25 % of all codes differ, after four bits 3 %."""
    codes = np.arange(-4096, 4096)
    up = arith.shift_right(codes, bits, Rounding.HALF_UP)
    even = arith.shift_right(codes, bits, Rounding.HALF_EVEN)
    assert np.mean(up != even) == share


@given(
    st.lists(WIDE, min_size=1, max_size=4), WIDE, st.sampled_from(["add", "subtract", "multiply"])
)
def test_results_are_exact_or_refused(values, value, name):
    """Sum, difference and product either equal Python's integers or raise; nothing wraps."""
    operation = {"add": int.__add__, "subtract": int.__sub__, "multiply": int.__mul__}[name]
    expected = [operation(v, value) for v in values]
    raw = np.array(values)
    for parameter in (value, np.array([value])):
        if all(INT64_LO <= e <= INT64_HI for e in expected):
            assert getattr(arith, name)(raw, parameter).tolist() == expected
        else:
            with pytest.raises(OverflowError, match="does not fit 64 bits"):
                getattr(arith, name)(raw, parameter)


def test_extremes_that_never_meet_do_not_cause_a_refusal():
    """The exact path decides where the corner bound is pessimistic."""
    raw, factor = np.array([2**40, 1]), np.array([1, 2**40])
    assert arith.multiply(raw, factor).tolist() == [2**40, 2**40]


def test_zero_times_a_parameter_beyond_int64_is_zero():
    """A product that stays inside is returned even if the factor alone would not fit."""
    assert arith.multiply(np.zeros(2, dtype=np.int64), 2**70).tolist() == [0, 0]


@given(st.integers(-(2**40), 2**40), st.integers(0, 62))
def test_shift_left_is_exact_or_refused(raw, bits):
    """A left shift multiplies by a power of two or raises."""
    if INT64_LO <= raw << bits <= INT64_HI:
        assert arith.shift_left(np.array([raw]), bits).tolist() == [raw << bits]
    else:
        with pytest.raises(OverflowError):
            arith.shift_left(np.array([raw]), bits)


@given(WIDE, st.integers(1, 63), st.booleans())
def test_wrap_keeps_the_low_bits(raw, bits, signed):
    """Wrapping equals arithmetic modulo 2^bits, shifted into the signed range."""
    low = raw % 2**bits
    expected = low - 2**bits if signed and low >= 2 ** (bits - 1) else low
    assert arith.wrap(np.array([raw]), bits, signed).tolist() == [expected]


def test_wrap_to_64_signed_bits_changes_nothing():
    """64 signed bits are int64 itself; 64 unsigned bits do not fit and are refused."""
    assert arith.wrap(np.array([INT64_LO]), 64).tolist() == [INT64_LO]
    with pytest.raises(ValueError, match="width is 64"):
        arith.wrap(np.array([1]), 64, signed=False)


@given(st.lists(WIDE, min_size=1), st.integers(-200, 0), st.integers(0, 200))
def test_saturate_is_the_nearest_value_idempotent_and_monotone(values, lo, hi):
    """Saturation clamps, does nothing twice, and keeps order."""
    raw = np.sort(np.array(values))
    once = arith.saturate(raw, lo, hi)
    assert once.tolist() == [min(max(v, lo), hi) for v in sorted(values)]
    assert (arith.saturate(once, lo, hi) == once).all()
    assert (arith.saturate(raw, None, None) == raw).all()


@pytest.mark.parametrize("bits", [-1, 63])
def test_shifts_out_of_range_are_refused_with_the_number(bits):
    """Negative shifts never mean the other direction."""
    for shift in (arith.shift_left, lambda r, b: arith.shift_right(r, b, Rounding.FLOOR)):
        with pytest.raises(ValueError, match=f"shift is {bits}"):
            shift(np.array([1]), bits)


def test_divisors_below_one_are_refused():
    """Division by zero or by a negative number has no place in a step."""
    with pytest.raises(ValueError, match="divisor is 0"):
        arith.divide(np.array([1]), 0, Rounding.FLOOR)


def test_extremes_of_nothing_are_zero():
    """An empty batch has no smallest code."""
    assert arith.extremes(np.zeros(0, dtype=np.int64)) == (0, 0)
    assert arith.add(np.zeros(0, dtype=np.int64), 5).size == 0
