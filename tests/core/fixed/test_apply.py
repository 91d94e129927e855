"""Every step type against exact fractions, alone and in chains."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.fixed.exact import clamp, float32, rounded

from nibblefit.errors import GraphError
from nibblefit.fixed.apply import apply_steps
from nibblefit.fixed.formats import Rounding
from nibblefit.fixed.steps import (
    STEP_TYPES,
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

CODES = st.integers(-(2**31), 2**31 - 1)
ROUNDINGS = st.sampled_from(list(Rounding))


def result_of(value: int, *steps: Step) -> int:
    return int(apply_steps(np.array([value]), steps)[0])


@given(CODES, st.integers(-(2**20), 2**20), st.integers(0, 20), st.integers(1, 1000), ROUNDINGS)
def test_integer_steps_equal_their_formulas(x, value, bits, divisor, rounding):
    """Each integer step alone does what its docstring says, in exact fractions."""
    assert result_of(x, Add(value)) == x + value
    assert result_of(x, Mul(value)) == x * value
    assert result_of(x, ShiftLeft(bits)) == x * 2**bits
    assert result_of(x, ShiftRight(bits, rounding)) == rounded(Fraction(x, 2**bits), rounding)
    assert result_of(x, Divide(divisor, rounding)) == rounded(Fraction(x, divisor), rounding)
    assert result_of(x, Clamp(-128, 127)) == clamp(x, -128, 127)
    assert result_of(x, Clamp(0, None)) == max(x, 0)
    assert result_of(x, Wrap(8)) == (x + 128) % 256 - 128
    assert result_of(x, Wrap(8, signed=False)) == x % 256


@given(CODES, st.floats(2.0**-40, 2.0**-4, width=32), ROUNDINGS)
def test_float32_multiplication_rounds_the_integer_and_the_product(x, factor, rounding):
    """float32(x) · factor rounds to nearest even twice: the integer, then the product."""
    exact = float32(float32(Fraction(x)) * Fraction(factor))
    found = result_of(x, MulFloat32(float_param(factor)), RoundFloat32(rounding))
    assert found == rounded(exact, rounding)


@given(CODES, st.floats(1, 2.0**20, width=32), st.floats(-64, 64, width=32), ROUNDINGS)
def test_float32_steps_round_in_the_written_order(x, divisor, addend, rounding):
    """Division, then addition: each rounds to float32 before the next one starts."""
    quotient = float32(float32(Fraction(x)) / Fraction(divisor))
    exact = float32(quotient + Fraction(addend))
    steps = (
        DivFloat32(float_param(divisor)),
        AddFloat32(float_param(addend)),
        RoundFloat32(rounding),
    )
    assert result_of(x, *steps) == rounded(exact, rounding)


def test_dividing_by_a_scale_is_not_multiplying_by_its_inverse():
    """The order of operations is data: the two forms differ on some codes."""
    codes = np.arange(-(2**19), 2**19)
    scale = np.float32(14)
    divided = apply_steps(codes, (DivFloat32(float_param(scale)), RoundFloat32(Rounding.HALF_EVEN)))
    inverse = float_param(np.float32(1) / scale)
    multiplied = apply_steps(codes, (MulFloat32(inverse), RoundFloat32(Rounding.HALF_EVEN)))
    assert (divided != multiplied).any()


def test_parameters_broadcast_against_the_value_without_its_batch_axis():
    """A (channels, 1, 1) parameter acts per channel of every image alike."""
    value = np.ones((3, 2, 2, 2), dtype=np.int64)
    per_channel = int_param(np.array([2, 5]).reshape(2, 1, 1))
    found = apply_steps(value, (Mul(per_channel), ShiftLeft(per_channel - 2)))
    assert found.shape == value.shape
    assert np.unique(found[:, 0]).tolist() == [2]
    assert np.unique(found[:, 1]).tolist() == [40]
    floats = float_param(np.array([0.5, 4.0], dtype=np.float32).reshape(2, 1, 1))
    found = apply_steps(value * 4, (MulFloat32(floats), RoundFloat32(Rounding.HALF_EVEN)))
    assert np.unique(found[:, 0]).tolist() == [2]
    assert np.unique(found[:, 1]).tolist() == [16]


def test_lookup_reads_the_table_from_its_lowest_value():
    """table[x − lowest]; values outside are refused with the covered range."""
    table = Lookup(int_param([10, 11, 12]), -1)
    assert apply_steps(np.array([-1, 0, 1]), (table,)).tolist() == [10, 11, 12]
    for wrong in (-2, 2):
        with pytest.raises(GraphError, match=f"value {wrong} lies outside .* -1 to 1"):
            apply_steps(np.array([wrong]), (table,))
    assert apply_steps(np.zeros(0, dtype=np.int64), (table,)).size == 0


def test_round_float32_saturates_huge_values():
    """Values beyond 2^62, infinities included, end there."""
    steps = (
        MulFloat32(float_param(3e38)),
        MulFloat32(float_param(3e38)),
        RoundFloat32(Rounding.HALF_EVEN),
    )
    assert result_of(5, *steps) == 2**62
    assert result_of(-5, *steps) == -(2**62)


def test_not_a_number_is_refused():
    """Infinity times zero is a fault of the factors, not a code."""
    steps = (
        MulFloat32(float_param(3e38)),
        MulFloat32(float_param(3e38)),
        MulFloat32(float_param(0.0)),
        RoundFloat32(Rounding.FLOOR),
    )
    with pytest.raises(GraphError, match="not a number"):
        result_of(5, *steps)


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ((MulFloat32(float_param(1.0)), Add(1)), "Add met a float32 value"),
        ((RoundFloat32(Rounding.FLOOR),), "RoundFloat32 met an integer"),
        ((MulFloat32(float_param(1.0)),), "end in float32"),
        ((Step(),), "Step is not a known step"),
    ],
)
def test_mixing_integers_and_float32_without_rounding_is_refused(steps, text):
    """Only RoundFloat32 leaves float32, and only float32 steps enter it."""
    with pytest.raises(GraphError, match=text):
        result_of(1, *steps)


def test_every_step_type_is_registered_and_compares_by_value():
    """The registry is complete, and equality looks at arrays too."""
    assert len(STEP_TYPES) == 12
    assert Mul(int_param([1, 2])) == Mul(int_param([1, 2]))
    assert Mul(int_param([1, 2])) != Mul(int_param([1, 3]))
    assert Mul(2) != Add(2)
    assert Mul(int_param([2])) != Mul(2)
    assert hash(Mul(2)) == hash(Mul(3))
    assert int_param(np.int64(3)) == 3
