"""Fake quantization: the vendor's numbers, and gradients that pass inside the range."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nibblefit_tao.qat.rounding import round_activation, round_weights, scale_of


def test_the_vendors_numbers_are_reproduced(shared: Path) -> None:
    """Every bit of every value, activations and weights, ties and both ends included."""
    cases = json.loads((shared / "vendor" / "tao" / "oracles" / "fake_quant.json").read_text())
    assert {case["kind"] for case in cases} == {"activation", "weight_per_tensor"}
    for case in cases:
        x, wanted = torch.tensor(case["x"]), torch.tensor(case["y"])
        if case["kind"] == "activation":
            found = round_activation(x, scale_of(torch.tensor(case["scale_abs_max"])))
        else:
            found = round_weights(x)
        assert torch.equal(found, wanted)


@given(st.lists(st.integers(-4000, 4000), min_size=1, max_size=20), st.integers(-6, 6))
def test_values_round_to_the_nearest_code_halves_to_even(eighths: list[int], frac: int) -> None:
    """By fractions, with scales that are powers of two and so exact in float32."""
    scale = 2.0**-frac
    found = round_activation(torch.tensor(eighths) * (scale / 8), torch.tensor(scale))
    for value, result in zip(eighths, found.tolist(), strict=True):
        code = max(-128, min(127, round(Fraction(value, 8))))
        assert result == code * scale


def test_gradients_pass_straight_through_inside_the_range() -> None:
    """One within -128 … 127 steps, zero beyond."""
    x = torch.tensor([-130.0, -128.4, -3.3, 0.0, 127.4, 127.6], requires_grad=True)
    round_activation(x, torch.tensor(1.0)).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_weights_take_the_range_of_the_step(axis: int | None) -> None:
    """Per tensor or per channel, the largest magnitude is 127 steps; all gradients pass."""
    weights = torch.randn(4, 3, 3, 3, requires_grad=True)
    found = round_weights(weights, axis)
    rows = weights.detach().reshape(1, -1) if axis is None else torch.movedim(
        weights.detach(), axis, 0).reshape(weights.shape[axis], -1)  # fmt: skip
    back = found.detach().reshape(1, -1) if axis is None else torch.movedim(
        found.detach(), axis, 0).reshape(weights.shape[axis], -1)  # fmt: skip
    steps = rows.abs().amax(dim=1, keepdim=True) / 127
    codes = back / steps
    assert torch.allclose(codes, codes.round(), atol=1e-4)
    assert torch.all((back - rows).abs() <= steps * 0.5001)
    assert codes.abs().max().round() == 127
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert weights.grad is not None
    assert torch.all(weights.grad == 1)


def test_weights_of_one_axis_and_of_zeros_are_rounded_too() -> None:
    """A vector per channel has each value as its own range; zeros stay zeros."""
    vector = torch.tensor([3.0, -0.5, 0.0])
    assert torch.allclose(round_weights(vector, 0), vector)
    assert torch.equal(round_weights(torch.zeros(2, 2)), torch.zeros(2, 2))
