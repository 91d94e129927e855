"""Classic weight codes: the importer's formulas in exact fractions, and zeros that stay zero."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nibblefit_tidl.classic.parameters import quantize_parameters

WIDTHS = range(4, 13)


def _code(value: Fraction, per_unit: Fraction, share: Fraction) -> int:
    scaled = value * per_unit
    return math.trunc(scaled + share) if value > 0 else math.trunc(scaled - share)


@st.composite
def _layers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Return weights over a range of exactly 2, so that float64 computes without rounding."""
    steps = draw(hnp.arrays(np.int64, st.integers(2, 40), elements=st.integers(-512, 512)))
    weights = steps / 512.0
    weights[0], weights[1] = -1.0, 1.0
    bias = draw(hnp.arrays(np.int64, 4, elements=st.integers(-8, 8))) / 64.0
    return weights, bias


@given(_layers(), st.sampled_from(WIDTHS), st.sampled_from((50, 25, 0, 100)))
def test_codes_follow_the_formulas(
    layer: tuple[np.ndarray, np.ndarray], bits: int, add: int
) -> None:
    """Every weight and bias code equals the formula in fractions."""
    weights, bias = layer
    found = quantize_parameters(weights, bias, bits, add)
    per_unit, share = Fraction(2) ** bits / 2, Fraction(add, 100)
    lowest = _code(Fraction(-1), per_unit, share)
    wanted = [
        min(_code(Fraction(w), per_unit, share) - lowest, 2**bits - 1) for w in weights.tolist()
    ]
    assert found.per_unit == per_unit
    assert found.weights.tolist() == wanted
    assert found.bias is not None
    assert found.bias.tolist() == [_code(Fraction(b), per_unit, share) for b in bias.tolist()]
    assert found.zero == -lowest
    assert found.weights_q == math.trunc(256 * per_unit)


@given(
    hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(-4, 4, width=32)),
    hnp.arrays(np.float64, st.integers(1, 6), elements=st.floats(-50, 50, width=32)),
    st.sampled_from(WIDTHS),
)
def test_a_zero_weight_is_exactly_zero(weights: np.ndarray, bias: np.ndarray, bits: int) -> None:
    """Whatever the range, the code of zero is the zero point, which is a legal code."""
    weights[0] = 0.0
    codes = quantize_parameters(weights, bias, bits).weight_codes()
    (zero,) = codes.format.zero_point
    assert codes.format.lo <= zero <= codes.format.hi
    assert bool(np.all(codes.values[weights == 0] == zero))
    assert codes.format.holds(codes.values)


@pytest.mark.parametrize("bits", WIDTHS)
def test_errors_stay_within_half_a_step_but_at_the_top(bits: int) -> None:
    """Only the clip at the largest code costs more, at most 1.5 steps."""
    weights = np.random.default_rng(bits).normal(size=2000)
    found = quantize_parameters(weights, None, bits)
    error = np.abs((found.weights - found.zero) / found.per_unit - weights) * found.per_unit
    clipped = found.weights == 2**bits - 1
    assert float(error[~clipped].max()) <= 0.5 + 1e-9
    assert float(error[clipped].max()) <= 1.5 + 1e-9


def test_biases_saturate_to_sixteen_bits() -> None:
    """A bias far beyond the weights takes the largest code, with the range stretched for it."""
    found = quantize_parameters(np.array([-0.01, 0.01]), np.array([1000.0, -1000.0]), 8)
    assert found.bias is not None
    assert found.bias.tolist() == [32767, -32768]
    assert found.bias_stretch == pytest.approx(1000 / 2**8 / 0.01)


@pytest.mark.parametrize(("bits", "container"), [(4, 8), (8, 8), (9, 16), (12, 16)])
def test_containers_are_whole_bytes(bits: int, container: int) -> None:
    """Above 8 bits a weight takes two bytes."""
    assert quantize_parameters(np.ones(3), None, bits).container_bits == container


def test_one_sided_layers_keep_a_code_for_zero() -> None:
    """Only positive, only negative and all-zero weights are legal."""
    for weights in (np.array([0.5, 1.0]), np.array([-0.5, -1.0]), np.zeros(3)):
        found = quantize_parameters(weights, None, 8)
        decoded = (found.weights - found.zero) / found.per_unit
        assert 0 <= found.zero <= 255
        np.testing.assert_allclose(decoded, weights, atol=1.5 / found.per_unit)


def test_a_layer_without_weight_is_stretched_by_any_bias() -> None:
    """The report of the stretch has no division by zero."""
    assert quantize_parameters(np.zeros(2), np.ones(1), 8).bias_stretch == float("inf")
    assert quantize_parameters(np.zeros(2), None, 8).bias_stretch == 0.0
    assert quantize_parameters(np.ones(2), None, 8).bias_codes().values.size == 0
