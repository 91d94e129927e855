"""Compiled steps equal the judge's steps on every value of a range."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.conformance.strategies import formats, step_tuples
from nibblefit.engine.chain import compile_steps
from nibblefit.engine.ranges import Range, UnprovableError
from nibblefit.fixed.apply import apply_steps
from nibblefit.fixed.formats import Format, Rounding
from nibblefit.fixed.steps import (
    Add,
    Clamp,
    Divide,
    Lookup,
    Mul,
    MulFloat32,
    RoundFloat32,
    ShiftRight,
    Steps,
    Wrap,
    float_param,
)


@given(st.data(), formats(), st.integers(2, 20))
def test_every_value_of_the_range_gives_the_judges_code(
    data: st.DataObject, number: Format, bits: int
) -> None:
    """Narrow types, merged additions and dropped steps change no result."""
    lo = data.draw(st.integers(-(1 << bits), 0))
    values = Range(lo, lo + min(1 << bits, 1 << 12))
    steps = data.draw(step_tuples(number, (3, 1, 1), shift=max(bits - 6, 0)))
    codes = np.arange(values.lo, values.hi + 1).reshape(-1, 1, 1, 1).repeat(3, axis=1)
    chain = compile_steps(steps, values)
    found = chain(torch.from_numpy(codes))
    expected = apply_steps(codes, steps)
    np.testing.assert_array_equal(found.numpy(), expected)
    assert chain.result.lo <= expected.min()
    assert expected.max() <= chain.result.hi


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("bits", [0, 1, 2, 3, 5, 8, 40, 62])
def test_shifts_round_every_residue(rounding: Rounding, bits: int) -> None:
    """All residues around zero, for shifts narrower and wider than the value."""
    codes = np.arange(-600, 601)
    step = (ShiftRight(bits, rounding),)
    found = compile_steps(step, Range(-600, 600))(torch.from_numpy(codes))
    np.testing.assert_array_equal(found.numpy(), apply_steps(codes, step))


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("divisor", [1, 2, 3, 7, 49, 1000])
@pytest.mark.parametrize("centre", [0, 1 << 23, 1 << 40, 1 << 60])
def test_divisions_round_every_residue(rounding: Rounding, divisor: int, centre: int) -> None:
    """The float32, float64 and int64 divisions agree with integers around their borders."""
    codes = np.arange(centre - 500, centre + 501)
    codes = np.concatenate([codes, -codes])
    step = (Divide(divisor, rounding),)
    reach = centre + 500
    found = compile_steps(step, Range(-reach, reach))(torch.from_numpy(codes))
    np.testing.assert_array_equal(found.numpy(), apply_steps(codes, step))


@pytest.mark.parametrize("rounding", list(Rounding))
def test_float32_steps_round_ties_and_borders(rounding: Rounding) -> None:
    """Halves in float32, integers beyond 2^24 and saturation beyond 2^62."""
    codes = np.concatenate([np.arange(-9, 10), (1 << 24) + np.arange(-3, 4), [1 << 40, -(1 << 40)]])
    for factor in (0.5, 1.5, 2.0**30):
        steps = (MulFloat32(float_param(factor)), RoundFloat32(rounding))
        found = compile_steps(steps, Range(-(1 << 40), 1 << 40))(torch.from_numpy(codes))
        np.testing.assert_array_equal(found.numpy(), apply_steps(codes, steps))


def test_the_narrowest_type_is_chosen() -> None:
    """A byte shifted with rounding works in int16; a product of bytes in int32."""
    assert compile_steps((Add(1), Clamp(0, 9)), Range(0, 255)).entry is torch.int16
    assert compile_steps((Mul(300), Clamp(0, 9)), Range(0, 255)).entry is torch.int32


def test_idle_steps_vanish() -> None:
    """A clamp and a wrap that the range proves idle cost nothing."""
    assert compile_steps((Clamp(-128, 127), Wrap(8)), Range(-128, 127)).segments == ()


def test_an_owned_value_alone_is_overwritten() -> None:
    """A chain writes in place only into a tensor it was given for that."""
    chain = compile_steps((Add(1),), Range(0, 9))
    value = torch.arange(10, dtype=torch.int16)
    chain(value)
    assert value.tolist() == list(range(10))


@pytest.mark.parametrize(
    "steps",
    [
        (Mul(1 << 40),),
        (Lookup(np.arange(4), 0),),
        (RoundFloat32(Rounding.FLOOR),),
        (MulFloat32(float_param(0.5)),),
        (MulFloat32(float_param(0.5)), Clamp(0, 1)),
    ],
)
def test_what_no_range_proves_is_refused(steps: Steps) -> None:
    """Overflow of int64, values outside a table and unfinished float32 are left to the judge."""
    with pytest.raises(UnprovableError):
        compile_steps(steps, Range(0, 1 << 30))
