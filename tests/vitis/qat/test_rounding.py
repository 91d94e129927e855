"""Rounding to codes: exact forward, and the gradient of that very rounding."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nibblefit_vitis.qat.rounding import Codes, floored, round_to_codes
from nibblefit_vitis.settings import RoundMode

HALF = Fraction(1, 2)


def nearest(value: Fraction, mode: RoundMode) -> int:
    """Return a fraction rounded; ties as the mode says."""
    below = math.floor(value)
    if value - below != HALF:
        return below + (value - below > HALF)
    up = {
        RoundMode.HALF_UP: True,
        RoundMode.STD_ROUND: value > 0,
        RoundMode.HALF_DOWN: value < 0,
        RoundMode.HALF_EVEN: below % 2 == 1,
    }[mode]
    return below + up


VALUES = st.one_of(
    st.integers(-600, 600).map(lambda k: k / 4),
    st.floats(-200, 200, width=32).map(float),
    st.sampled_from([0.49999997, -0.49999997, 1e30, -1e30]),
)


@given(st.lists(VALUES, min_size=1, max_size=20), st.sampled_from(list(RoundMode)),
       st.integers(-3, 9), st.sampled_from([(-128, 127), (-127, 127), (-8, 7)]))  # fmt: skip
def test_values_are_rounded_exactly(
    values: list[float], mode: RoundMode, position: int, limits: tuple[int, int]
) -> None:
    """Against exact fractions, ties and clipping included, in float32 and float64."""
    codes = Codes(position, *limits, mode)
    step = Fraction(2) ** -position
    for dtype in (torch.float32, torch.float64):
        x = torch.tensor(values, dtype=dtype)
        found = round_to_codes(x, codes)
        expected = [
            float(min(max(nearest(Fraction(v) / step, mode), limits[0]), limits[1]) * step)
            for v in x.tolist()
        ]
        assert found.dtype is dtype
        assert found.tolist() == expected


@given(st.lists(VALUES.filter(lambda v: abs(v) < 1e6), min_size=1, max_size=20),
       st.sampled_from(list(RoundMode)), st.integers(-2, 6))  # fmt: skip
def test_gradients_are_those_of_the_formula(
    values: list[float], mode: RoundMode, position: int
) -> None:
    """Towards x 1 inside and 0 outside; towards log2 t the closed form, in exact fractions."""
    codes = Codes(position, -8, 7, mode)
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    threshold = torch.tensor(3.0 - position, dtype=torch.float64, requires_grad=True)
    weights = torch.arange(1.0, len(values) + 1, dtype=torch.float64)
    (round_to_codes(x, codes, threshold) * weights).sum().backward()
    step, total = Fraction(2) ** -position, Fraction(0)
    for number, value in enumerate(values):
        ratio = Fraction(value) / step
        code = nearest(ratio, mode)
        inside = -8 <= code <= 7
        assert float(x.grad[number]) == (number + 1.0 if inside else 0.0)
        slope = code - ratio if inside else Fraction(min(max(code, -8), 7))
        total += (number + 1) * slope * step
    assert float(threshold.grad) == pytest.approx(float(total) * math.log(2), rel=1e-9, abs=1e-9)


def test_threshold_gradient_is_the_slope_of_the_rounded_function_with_its_remainder_held() -> None:
    """Finite differences of step · clamp(x / step + remainder), the rounding's remainder fixed."""
    random = np.random.default_rng(0)
    x = torch.from_numpy(random.normal(size=400) * 3)
    position = 2
    codes = Codes(position, -8, 7, RoundMode.HALF_UP)
    threshold = torch.tensor(3.0 - position, dtype=torch.float64, requires_grad=True)
    round_to_codes(x, codes, threshold).sum().backward()
    ratio = x * 2.0**position
    code = torch.floor(ratio + 0.5)
    inside, edge = (code >= -8) & (code <= 7), code.clamp(-8, 7)

    def smooth(log2: float) -> float:
        step = 2.0**log2 / 8
        return float((step * torch.where(inside, x / step + code - ratio, edge)).sum())

    tiny = 1e-7
    start = 3.0 - position
    numeric = (smooth(start + tiny) - smooth(start - tiny)) / (2 * tiny)
    assert float(threshold.grad) == pytest.approx(numeric, rel=1e-4)


def test_without_threshold_only_x_has_a_gradient() -> None:
    """Frozen thresholds cost nothing and change nothing."""
    x = torch.linspace(-2, 2, 9, requires_grad=True)
    codes = Codes(3, -8, 7, RoundMode.HALF_UP)
    frozen = torch.tensor(0.0)
    assert torch.equal(round_to_codes(x, codes), round_to_codes(x, codes, frozen))
    round_to_codes(x, codes, frozen).sum().backward()
    assert x.grad.tolist() == [float(-8.5 <= 8 * v < 7.5) for v in x.tolist()]


def test_cut_biases_are_floored_and_pass_their_gradient() -> None:
    """What the sums' step leaves of a finer bias, rounded down."""
    x = torch.tensor([0.75, -0.75, 0.5, -0.25], requires_grad=True)
    found = floored(x, 1)
    assert found.tolist() == [0.5, -1.0, 0.5, -0.5]
    found.sum().backward()
    assert x.grad.tolist() == [1.0] * 4
