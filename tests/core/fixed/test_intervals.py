"""Interval arithmetic: never too narrow, and tight where a step is monotone."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.core.fixed.exact import rounded

from nibblefit.errors import GraphError
from nibblefit.fixed.apply import apply_steps
from nibblefit.fixed.formats import Rounding
from nibblefit.fixed.intervals import bounds_after, divide_exact, hull, widest_through
from nibblefit.fixed.steps import (
    Add,
    AddFloat32,
    Clamp,
    DivFloat32,
    Divide,
    Lookup,
    Mul,
    MulFloat32,
    RoundFloat32,
    ShiftLeft,
    ShiftRight,
    Step,
    Wrap,
    float_param,
    int_param,
)

ROUNDINGS = st.sampled_from(list(Rounding))
SMALL = st.integers(-300, 300)
FACTORS = st.floats(-8, 8, width=32)
STEPS = st.one_of(
    st.builds(Add, SMALL),
    st.builds(Mul, SMALL),
    st.builds(ShiftLeft, st.integers(0, 6)),
    st.builds(ShiftRight, st.integers(0, 12), ROUNDINGS),
    st.builds(Divide, st.integers(1, 60), ROUNDINGS),
    st.builds(
        Clamp, st.one_of(st.none(), st.integers(-200, 0)), st.one_of(st.none(), st.integers(0, 200))
    ),
    st.builds(Wrap, st.integers(1, 12), st.booleans()),
)
FLOATS = st.builds(
    lambda a, b, c, r: [MulFloat32(float_param(a)), DivFloat32(float_param(b)),
                        AddFloat32(float_param(c)), RoundFloat32(r)],
    FACTORS, st.floats(0.5, 8, width=32), FACTORS, ROUNDINGS,
)  # fmt: skip
CHAINS = st.lists(st.one_of(STEPS.map(lambda s: [s]), FLOATS), max_size=4).map(
    lambda parts: tuple(step for part in parts for step in part)
)


@given(SMALL, st.integers(0, 80), CHAINS)
def test_bounds_hold_every_result(lo, width, steps):
    """Running every value of the range stays inside the stated bounds."""
    results = apply_steps(np.arange(lo, lo + width + 1), steps)
    low, high = bounds_after(lo, lo + width, steps)
    assert low <= results.min()
    assert results.max() <= high


@given(SMALL, st.integers(0, 80), CHAINS)
def test_bounds_are_reached_without_wrap(lo, width, steps):
    """Chains of monotone steps reach both bounds, so the bounds are exact."""
    assume(not any(isinstance(step, Wrap) for step in steps))
    results = apply_steps(np.arange(lo, lo + width + 1), steps)
    assert bounds_after(lo, lo + width, steps) == (results.min(), results.max())


@given(st.integers(-(2**90), 2**90), st.integers(1, 2**70), ROUNDINGS)
def test_division_has_no_width(value, divisor, rounding):
    """Python integers of any size divide exactly."""
    assert divide_exact(value, divisor, rounding) == rounded(Fraction(value, divisor), rounding)


def test_bounds_may_leave_int64():
    """A proof never overflows itself."""
    assert bounds_after(0, 2**62, (Mul(2**40),)) == (0, 2**102)


def test_array_parameters_give_arrays_of_python_integers():
    """Per-channel parameters give per-channel bounds; hull joins them."""
    factors = int_param(np.array([1, -3]).reshape(2, 1, 1))
    lo, hi = bounds_after(-2, 5, (Mul(factors), ShiftLeft(int_param([[[1]], [[0]]]))))
    assert lo.reshape(-1).tolist() == [-4, -15]
    assert hi.reshape(-1).tolist() == [10, 6]
    assert hull((lo, hi)) == (-15, 10)
    lo, hi = bounds_after(np.array([1, 2]), np.array([3, 4]), (Add(1),))
    assert (lo.tolist(), hi.tolist()) == ([2, 3], [4, 5])
    steps = (MulFloat32(float_param([[[0.5]], [[2.0]]])), RoundFloat32(Rounding.HALF_EVEN))
    lo, hi = bounds_after(-2, 5, steps)
    assert (lo.reshape(-1).tolist(), hi.reshape(-1).tolist()) == ([-1, -4], [2, 10])


def test_lookup_bounds_come_from_the_reached_part():
    """Only reachable entries count, and unreachable values are an error."""
    table = Lookup(int_param([9, 1, 5, 100]), 0)
    assert bounds_after(1, 2, (table,)) == (1, 5)
    with pytest.raises(GraphError, match="values -1 to 2 can reach"):
        bounds_after(-1, 2, (table,))


def test_chains_that_end_in_float32_and_unknown_steps_are_refused():
    """The same faults that stop an execution stop a proof."""
    with pytest.raises(GraphError, match="end in float32"):
        bounds_after(0, 1, (MulFloat32(float_param(2.0)),))
    with pytest.raises(GraphError, match="not a known step"):
        bounds_after(0, 1, (Step(),))


def test_the_widest_value_may_lie_between_the_steps():
    """A product that a later shift makes small still needs its own width."""
    steps = (Mul(1000), ShiftRight(10, Rounding.FLOOR))
    assert widest_through(-3, 5, steps) == (-3000, 5000)
    assert widest_through(-3, 5, ()) == (-3, 5)
    floats = (MulFloat32(float_param(1000.0)), DivFloat32(float_param(100.0)))
    assert widest_through(-3, 5, (*floats, RoundFloat32(Rounding.FLOOR))) == (-30, 50)
