"""The search for fix positions, against brute force in fractions and the original's results."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nibblefit_vitis.calibration.positions import capped, covering_position, fix_positions
from nibblefit_vitis.settings import RoundMode, TensorSetting

#: The kernels' numbers of the roundings.
MODES = {2: RoundMode.HALF_UP, 3: RoundMode.STD_ROUND}


def test_every_finite_recorded_case_is_equal(shared: Path) -> None:
    """13 tensors, four widths, two scopes, two roundings; denormals, infinite there, are zero."""
    folder = shared / "vendor/vitis/kernels"
    tensors = np.load(folder / "golden_kernels.npz")
    finite = 0
    for case in json.loads((folder / "golden_diffs_cases.json").read_text()):
        setting = TensorSetting(bit_width=case["bit_width"], round_mode=MODES[case["method"]])
        rows = torch.from_numpy(tensors["diffs_" + case["tensor"]])[None]
        (found,) = fix_positions(rows, setting, case["scope"])
        if math.isinf(case["fix_pos_raw"]):
            assert case["tensor"] == "denorm"
            assert capped(found, case["bit_width"]) == (12 if case["bit_width"] <= 8 else 15)
        else:
            finite += 1
            assert found == case["fix_pos_raw"], case
    assert finite == 192


def loss(values: list[float], position: int, bits: int) -> Fraction:
    """Return the squared error of rounding half away from zero, exactly."""
    total, step = Fraction(0), Fraction(2) ** -position
    for value in values:
        quotient = Fraction(value) / step
        code = math.floor(abs(quotient) + Fraction(1, 2)) * (1 if quotient >= 0 else -1)
        code = max(-(2 ** (bits - 1)), min(2 ** (bits - 1) - 1, code))
        total += (code * step - Fraction(value)) ** 2
    return total


@given(
    values=st.lists(st.integers(-999, 999).map(lambda n: n / 64), min_size=1, max_size=12),
    bits=st.sampled_from([4, 8]),
)
def test_the_position_is_that_of_least_error(values: list[float], bits: int) -> None:
    """Of five positions from the covering one on, the best wins, the coarsest of equals."""
    setting = TensorSetting(bit_width=bits)
    (found,) = fix_positions(torch.tensor([values], dtype=torch.float32), setting, 5)
    first = covering_position(min(values), max(values), setting)
    if not any(values):
        assert (found, first) == (18, 18)
        return
    losses = [loss(values, first + more, bits) for more in range(5)]
    assert found == first + losses.index(min(losses))


@given(end=st.integers(-60, 60), lo=st.integers(-1000, 0), hi=st.integers(1, 1000))
def test_the_covering_position_is_the_finest_that_covers(end: int, lo: int, hi: int) -> None:
    """Both ends lie within half a step of the codes, and no longer do one position further."""
    setting, scale = TensorSetting(), Fraction(2) ** end
    position = covering_position(float(lo * scale), float(hi * scale), setting)

    def covers(place: int) -> bool:
        unit = Fraction(2) ** place
        half = Fraction(1, 2)
        return lo * scale * unit >= -128 - half and hi * scale * unit <= 127 + half

    assert covers(position)
    assert not covers(position + 1)


def test_half_a_step_beyond_the_codes_is_covered() -> None:
    """127.5 and −128.5 still fit position 0, the next float32 does not."""
    setting = TensorSetting()
    assert covering_position(-128.5, 127.5, setting) == 0
    assert covering_position(0.0, float(np.nextafter(np.float32(127.5), np.float32(200))),
                             setting) == -1  # fmt: skip


def test_positions_are_found_per_row() -> None:
    """Rows of very different size get positions of their own."""
    rows = torch.tensor([[1.0, -1.0], [100.0, -3.0], [0.0, 0.0]])
    assert fix_positions(rows, TensorSetting(), 1) == (6, 0, 18)


@pytest.mark.parametrize(("bits", "cap"), [(4, 12), (8, 12), (9, 15), (16, 15), (32, 15)])
def test_positions_are_capped_by_width(bits: int, cap: int) -> None:
    """At most 12 up to 8 bits, else 15; smaller and negative ones stay."""
    assert capped(18, bits) == cap
    assert capped(-3, bits) == -3


def test_empty_and_tiny_values_need_no_search() -> None:
    """No values, and values below the smallest normal float32, count as zero."""
    setting = TensorSetting()
    assert fix_positions(torch.zeros(1, 0), setting, 5) == (18,)
    assert fix_positions(torch.tensor([[1e-40, -1e-41]]), setting, 5) == (18,)
    (tiny,) = fix_positions(torch.tensor([[1e-37, 0.0]]), setting, 5)
    assert capped(tiny, 8) == 12
