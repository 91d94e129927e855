"""The four roundings and the quantizer, against exact fractions and the original's vectors."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from nibblefit.errors import InputError
from nibblefit_vitis.formats import FixPosition, FloatScale
from nibblefit_vitis.settings import RoundMode, TensorSetting
from nibblefit_vitis.simulation.quantizer import Quantizer, quantizer
from nibblefit_vitis.simulation.rounding import rounded

HALF = Fraction(1, 2)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)


def exactly(value: float, mode: RoundMode) -> int:
    """Return the rounded value, from the definition, in exact arithmetic."""
    exact = Fraction(value)
    below = math.floor(exact)
    if exact - below != HALF:
        return below if exact - below < HALF else below + 1
    toward_zero = below if exact > 0 else below + 1
    return {
        RoundMode.HALF_UP: below + 1,
        RoundMode.HALF_DOWN: toward_zero,
        RoundMode.STD_ROUND: 2 * below + 1 - toward_zero,
        RoundMode.HALF_EVEN: below + below % 2,
    }[mode]


@pytest.mark.parametrize("mode", RoundMode)
@given(value=FLOATS | st.integers(-(2**22), 2**22).map(lambda n: n / 2))
@example(value=2.0**127)
@example(value=-float(np.finfo(np.float32).max))
def test_rounding_is_exact_for_every_float32(mode: RoundMode, value: float) -> None:
    """Every finite float32, ties of both signs among them, rounds as its definition says."""
    assert float(rounded(torch.tensor([value]), mode)[0]) == exactly(value, mode)


@pytest.mark.parametrize("mode", RoundMode)
def test_what_is_no_finite_number_stays(mode: RoundMode) -> None:
    """Infinities and not-a-number come out as they went in."""
    values = torch.tensor([math.inf, -math.inf, math.nan])
    assert torch.equal(rounded(values, mode)[:2], values[:2])
    assert bool(rounded(values, mode)[2].isnan())


@pytest.mark.parametrize("mode", RoundMode)
def test_neighbours_of_ties_are_not_ties(mode: RoundMode) -> None:
    """The float32 next to a tie rounds to the nearest integer, also just below one half."""
    ties = np.arange(-200, 200, dtype=np.float32) + np.float32(0.5)
    below = np.nextafter(ties, np.float32(-np.inf), dtype=np.float32)
    above = np.nextafter(ties, np.float32(np.inf), dtype=np.float32)
    assert rounded(torch.from_numpy(below), mode).tolist() == np.floor(ties).tolist()
    assert rounded(torch.from_numpy(above), mode).tolist() == np.ceil(ties).tolist()


VECTORS = {
    "q8_half_up": (RoundMode.HALF_UP, -128, 127, 0),
    "q8_std_round": (RoundMode.STD_ROUND, -128, 127, 0),
    "q8_half_down": (RoundMode.HALF_DOWN, -128, 127, 0),
    "q8_half_even": (RoundMode.HALF_EVEN, -128, 127, 0),
    "q8_torch_affine": (RoundMode.HALF_EVEN, -128, 127, 0),
    "q8_narrow_std_round": (RoundMode.STD_ROUND, -127, 127, 0),
    "q8_zp5_half_even": (RoundMode.HALF_EVEN, 0, 255, 5),
}


@pytest.mark.parametrize("name", VECTORS)
def test_the_original_kernels_vectors_are_reproduced(shared: Path, name: str) -> None:
    """All recorded values of the four public rounding kernels, narrow range and zero point."""
    recorded = np.load(shared / "vendor/vitis/kernels/golden_kernels.npz")
    mode, lowest, highest, zero = VECTORS[name]
    found = Quantizer((1.0,), (zero,), lowest, highest, mode).real(
        torch.from_numpy(recorded["round_x"])
    )
    np.testing.assert_array_equal(found.numpy(), recorded[name])


def test_large_values_saturate_and_never_wrap() -> None:
    """5e9 becomes 127, where the original's 32-bit detour gives −128; infinity saturates too."""
    rounds = quantizer(FixPosition(8, 0), TensorSetting())
    values = torch.tensor([5e9, -5e9, torch.inf, -torch.inf, 3e38])
    assert rounds.real(values).tolist() == [127, -128, 127, -128, 127]
    assert rounds.codes(values.numpy()).tolist() == [127, -128, 127, -128, 127]


def test_a_32_bit_bias_keeps_the_sign_of_its_largest_element() -> None:
    """The largest code, 2**31 − 1, is not a float32; the original turns 0.3 into −0.3 there."""
    setting = TensorSetting(bit_width=32)
    scale = FloatScale(32, (0.3 / setting.highest,), (0,), (0.3,))
    rounds = quantizer(scale, setting)
    assert rounds.codes([0.3, -0.3, 0.15]).tolist()[:2] == [2**31 - 1, -(2**31) + 1]
    assert rounds.real(torch.tensor([0.3, -0.3])).tolist() == pytest.approx([0.3, -0.3])


def test_channels_have_their_own_steps() -> None:
    """A format per channel rounds each slice with its own position."""
    fmt = FixPosition(8, 0, (0, 1, 2), axis=1)
    found = quantizer(fmt, TensorSetting()).real(torch.full((2, 3), 0.3))
    assert found.tolist() == [[0.0, 0.5, 0.25]] * 2


def test_rounding_in_place_equals_rounding_a_copy() -> None:
    """Tensors are rounded block by block in memory order, whatever their layout."""
    values = torch.randn(2, 7, 300, 70, generator=torch.Generator().manual_seed(0)) * 40
    rounds = quantizer(FixPosition(8, 1), TensorSetting(round_mode=RoundMode.HALF_UP))
    wanted = rounds.real(values)
    for copy in (values.clone(), values.to(memory_format=torch.channels_last).clone()):
        assert torch.equal(rounds.real(copy, in_place=True), wanted)
        assert torch.equal(copy, wanted)


def test_codes_of_a_value_that_is_not_a_number_are_refused() -> None:
    """A NaN among parameters is named with its tensor."""
    with pytest.raises(InputError, match=r"'conv\.weight' holds a value that is not a number"):
        quantizer(FixPosition(8, 3), TensorSetting()).codes([float("nan")], "conv.weight")


def test_scales_below_normal_floats_are_replaced() -> None:
    """A scale too small to divide by stands for 2**-18, as in the original."""
    rounds = quantizer(FloatScale(8, (1e-310,), (0,), (0.0,)), TensorSetting())
    assert rounds.inverse == (2.0**18,)
