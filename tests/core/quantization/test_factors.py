"""Real factors as integer steps: exact where they can be, within the multiplier's width else."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.fixed.exact import rounded

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.apply import apply_steps
from nibblefit.fixed.formats import Format, Rounding, Scale
from nibblefit.fixed.steps import Divide, ShiftLeft, ShiftRight
from nibblefit.ir.numerics import Requantization, RequantRule
from nibblefit.quantization.align import align, common_scale, product_scale
from nibblefit.quantization.factors import Factor, divided, multiply_shift, rescale, shift

MULTIPLY = RequantRule(Requantization.MULTIPLY_SHIFT, Rounding.HALF_EVEN, 31)


def _one(value: int, steps: object) -> int:
    return int(apply_steps(np.array([value]), steps)[0])  # type: ignore[arg-type]


@given(st.integers(-(2**20), 2**20), st.integers(-8, 20), st.sampled_from(list(Rounding)))
def test_a_power_of_two_is_one_exact_shift(value: int, right: int, rounding: Rounding) -> None:
    """The result is the exactly rounded fraction, and a factor of one has no step."""
    steps = rescale(Factor.of(2.0**-right), RequantRule(rounding=rounding), "layer")
    assert len(steps) == (0 if right == 0 else 1)
    assert _one(value, steps) == rounded(value * Fraction(2) ** -right, rounding)


@given(st.integers(-(2**30), 2**30), st.floats(1e-9, 0.5), st.integers(15, 31))
def test_multiplier_and_shift_are_within_the_multipliers_width(
    value: int, factor: float, bits: int
) -> None:
    """The quotient before rounding is within 2^-bits relative of the real product."""
    found = _one(value, multiply_shift(np.float64(factor), bits, Rounding.HALF_EVEN))
    exact = value * Fraction(factor)
    assert (
        abs(found - exact)
        <= Fraction(1, 2) + abs(exact) / 2**bits + Fraction(value).__abs__() / 2**61
    )


def test_multipliers_that_round_up_to_a_power_of_two_stay_in_width() -> None:
    """0.99999… rounds to a multiplier of 2^bits, which needs one bit less and a smaller shift."""
    multiplier, right = multiply_shift(np.float64(1 - 2.0**-40), 31, Rounding.FLOOR)
    assert multiplier.value == 1 << 30  # type: ignore[attr-defined]
    assert right.bits == 30  # type: ignore[attr-defined]


def test_shifts_outside_the_targets_range_are_refused() -> None:
    """The error names layer, shift and limit."""
    with pytest.raises(UnsupportedError, match="'conv' needs a right shift of 40 to 40"):
        shift(np.array(-40), Rounding.FLOOR, (-31, 31), "conv")


def test_shifts_of_several_channels_go_both_ways() -> None:
    """Channels that shift left and right get two steps with one array each."""
    left, right = shift(np.array([2, -3, 0]), Rounding.FLOOR, (-31, 31), "conv")
    assert isinstance(left, ShiftLeft)
    assert isinstance(right, ShiftRight)
    assert (left.bits.tolist(), right.bits.tolist()) == ([2, 0, 0], [0, 3, 0])


@given(st.integers(-(2**20), 2**20), st.integers(1, 64), st.integers(-6, 6),
       st.sampled_from(list(Rounding)))  # fmt: skip
def test_averages_round_once(value: int, count: int, right: int, rounding: Rounding) -> None:
    """Division by the window and the shift to the output are one rounded quotient."""
    steps = divided(Factor.of(2.0**-right), count, rounding, RequantRule(), "pool")
    assert _one(value, steps) == rounded(Fraction(value, count) * Fraction(2) ** -right, rounding)


def test_averages_with_real_scales_use_the_multiplier() -> None:
    """The window size is part of the multiplier, so no second rounding happens."""
    steps = divided(Factor.of(0.3), 49, Rounding.FLOOR, MULTIPLY, "pool")
    assert not any(isinstance(step, Divide) for step in steps)
    assert _one(100000, steps) == rounded(Fraction(0.3) * 100000 / 49, Rounding.HALF_EVEN)


def test_power_of_two_operands_are_added_exactly() -> None:
    """The finest scale is common to all, within the accumulator."""
    operands = [Format(8, scale=Scale.power_of_two(f)) for f in (3, 7)]
    assert common_scale(operands, 32) == Scale.power_of_two(7)
    far = [Format(8, scale=Scale.power_of_two(f)) for f in (0, 60)]
    assert common_scale(far, 32) == Scale.power_of_two(20)
    (step,) = align(Factor.of_scale(operands[0].scale), Factor.of(2.0**-7), Rounding.FLOOR)
    assert step == ShiftLeft(4)


def test_real_operands_share_a_fine_scale() -> None:
    """Aligned by integer multipliers, both keep their value to within the last bits."""
    operands = [Format(8, scale=Scale.real(s)) for s in (0.1, 0.003)]
    common = Factor.of_scale(common_scale(operands, 32))
    for operand in operands:
        (step,) = align(Factor.of_scale(operand.scale), common, Rounding.FLOOR)
        real = step.value * float(common.values)  # type: ignore[attr-defined]
        assert real == pytest.approx(operand.scale.values()[0], rel=1e-3, abs=0.1 * 2**-19)


def test_products_of_scales_keep_their_kind() -> None:
    """Fractional bits add; real steps multiply in float64; channels broadcast."""
    assert product_scale(Scale.power_of_two(3), Scale.power_of_two(1, 2)).frac == (4, 5)
    assert product_scale(Scale.real(0.5), Scale.power_of_two(1)).steps == (0.25,)
