"""The training twin equals the judge on every tensor, and its gradients are straight-through."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.core.fixed.exact import rounded

from nibblefit.conformance.strategies import Example, quantized_graphs
from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import Rounding
from nibblefit.fixed.steps import (
    Add,
    Clamp,
    Lookup,
    Mul,
    MulFloat32,
    RoundFloat32,
    ShiftRight,
    Step,
    float_param,
    int_param,
)
from nibblefit.ir import reference
from nibblefit.quantization.twin import Twin
from nibblefit.quantization.twin.rounding import divide, round_float32, shift_right
from nibblefit.quantization.twin.steps import apply_steps, table_slope


@given(quantized_graphs())
def test_every_tensor_equals_the_judge(example: Example) -> None:
    """Random graphs, formats, steps and extreme inputs give the judge's integers."""
    expected = reference.run(example.graph, example.inputs).tensors
    inputs = {name: torch.from_numpy(np.array(x, np.int64)) for name, x in example.inputs.items()}
    found = Twin(example.graph).codes(inputs)
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert found[name].dtype is torch.int64
        np.testing.assert_array_equal(found[name].numpy(), tensor, err_msg=name)


@pytest.mark.parametrize("rounding", list(Rounding))
def test_integer_roundings_equal_exact_fractions(rounding: Rounding) -> None:
    """Every quotient of small integers, and of their shifts, is the exactly rounded fraction."""
    x = torch.arange(-300, 301)
    for divisor in range(1, 40):
        wanted = [rounded(Fraction(v, divisor), rounding) for v in x.tolist()]
        assert divide(x, torch.tensor(divisor), rounding).tolist() == wanted
    for bits in range(7):
        wanted = [rounded(Fraction(v, 1 << bits), rounding) for v in x.tolist()]
        assert shift_right(x, torch.tensor(bits), rounding).tolist() == wanted


@given(st.integers(-(2**62), 2**62), st.integers(0, 62), st.sampled_from(list(Rounding)))
def test_shifts_of_large_integers_equal_exact_fractions(
    value: int, bits: int, rounding: Rounding
) -> None:
    """No intermediate overflows up to 62 bits."""
    found = shift_right(torch.tensor([value]), torch.tensor(bits), rounding)
    assert found.tolist() == [rounded(Fraction(value, 1 << bits), rounding)]


@pytest.mark.parametrize("rounding", list(Rounding))
def test_float32_rounding_equals_exact_fractions(rounding: Rounding) -> None:
    """Quarters, ties and values just beside ties round as the formula says."""
    values = np.arange(-64, 65, dtype=np.float32) / np.float32(4)
    values = np.concatenate([values, np.nextafter(values, np.float32(np.inf))])
    found = round_float32(torch.from_numpy(values), rounding).tolist()
    ratios = [float(v).as_integer_ratio() for v in values]
    assert found == [rounded(Fraction(n, d), rounding) for n, d in ratios]


def _gradient(steps: tuple[Step, ...], values: list[float]) -> list[float]:
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    apply_steps(x, steps).sum().backward()
    assert x.grad is not None
    return x.grad.tolist()


def test_gradients_pass_roundings_and_end_at_clamps() -> None:
    """The slope is that of the formula without rounding, and zero where a clamp cut."""
    shift = ShiftRight(2, Rounding.HALF_UP)
    assert _gradient((shift, Clamp(0, 5)), [-8.0, 8.0, 40.0]) == [0.0, 0.25, 0.0]
    scaled = (Mul(3), MulFloat32(float_param(0.5)), RoundFloat32(Rounding.HALF_EVEN), Add(7))
    assert _gradient(scaled, [1.0, 5.0]) == [1.5, 1.5]


def test_a_table_has_the_slope_of_its_neighbours() -> None:
    """A lookup's gradient is the central difference, one-sided at the ends."""
    table = int_param([0, 1, 4, 9])
    assert _gradient((Lookup(table, -1),), [-1.0, 0.0, 1.0, 2.0]) == [1.0, 2.0, 4.0, 5.0]
    assert table_slope(torch.tensor([5])).tolist() == [0.0]


def test_an_unknown_step_is_refused() -> None:
    """A step the twin cannot simulate is an error that says what to do."""

    class Strange(Step):
        pass

    with pytest.raises(UnsupportedError, match="Strange"):
        apply_steps(torch.zeros(1, dtype=torch.int64), (Strange(),))
