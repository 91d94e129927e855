"""The float-scale class: exact sums, one rounding, formats of every width and sign."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.vitis.quantize.building import CODES, Sketch, executed

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit_vitis.formats import FixPosition, FloatScale, TensorFormat
from nibblefit_vitis.settings import (
    DPU_DEFAULT,
    Device,
    Kind,
    NetworkSetting,
    RoundMode,
    ScaleType,
)

HALF = Fraction(1, 2)
#: The multiplier has 24 bits: results this near to a tie may fall to either side of it.
NEAR = Fraction(1, 2**14)
SCALE = st.floats(0.004, 0.2)


def cpu(**changes: Any) -> NetworkSetting:
    """Return a setting for the CPU with the same changes for all kinds of tensors."""
    base = {kind: replace(one, scale_type=ScaleType.FLOAT, **changes)
            for kind, one in DPU_DEFAULT.items()}  # fmt: skip
    return NetworkSetting(device=Device.CPU, base=frozen_mapping(base))


def scaled(*scale: float, bits: int = 8, zero: int = 0, unsigned: bool = False) -> FloatScale:
    """Return a float format, per channel where there are several scales."""
    count = len(scale)
    axis = 0 if count > 1 else None
    return FloatScale(bits, scale, (zero,) * count, (1.0,) * count, axis, unsigned)


def check(found: int, exact: Fraction, bounds: tuple[int, int]) -> None:
    """Check a code against an exact number of output steps: nearest, within bounds."""
    limited = min(max(exact, Fraction(bounds[0])), Fraction(bounds[1]))
    assert abs(found - limited) <= HALF + NEAR


@given(sx=SCALE, sy=SCALE, sw=st.tuples(SCALE, SCALE), sb=SCALE,
       w=st.tuples(st.integers(-127, 127), st.integers(-127, 127)),
       b=st.integers(-127, 127))  # fmt: skip
def test_a_layer_rounds_the_exact_value_once(
    *, sx: float, sy: float, sw: tuple[float, float], sb: float, w: tuple[int, int], b: int
) -> None:
    """Per-channel weights, a bias of its own scale: the code nearest to the real result."""
    net = Sketch({"x": (1, 16, 16)}, {})
    net.outputs["x"] = scaled(sx)
    kernel = net.real("w", np.array([w[0] * sw[0], w[1] * sw[1]]).reshape(2, 1, 1, 1), scaled(*sw))
    bias = net.real("b", np.array([b * sb, -b * sb]), scaled(sb))
    net.add("conv", Op.CONV, "x", kernel, bias, fmt=scaled(sy))
    found = executed(net.lowered(cpu()), CODES)[0].reshape(2, -1)
    for channel in range(2):
        for x in (-128, -77, -1, 0, 1, 50, 127):
            real = Fraction(sx) * x * w[channel] * Fraction(sw[channel])
            real += Fraction(sb) * (b if channel == 0 else -b)
            # The bias joins in whole steps of the sum.
            slack = Fraction(sx) * Fraction(sw[channel]) / 2
            exact = real / Fraction(sy)
            limited = min(max(exact, Fraction(-128)), Fraction(127))
            code = int(found[channel, x + 128])
            assert abs(code - limited) <= HALF + NEAR + slack / Fraction(sy)


@given(sx=SCALE, sy=SCALE, zx=st.integers(0, 255), zy=st.integers(0, 255), w=st.integers(-127, 127))
def test_zero_points_shift_codes_and_nothing_else(
    sx: float, sy: float, zx: int, zy: int, w: int
) -> None:
    """Asymmetric input and output: (x − zx) · w · sx · sw / sy + zy, saturated to 0 … 255."""
    net = Sketch({"x": (1, 16, 16)}, {})
    net.outputs["x"] = scaled(sx, zero=zx, unsigned=True)
    kernel = net.real("w", np.full((1, 1, 1, 1), w * 0.01), scaled(0.01))
    net.add("conv", Op.CONV, "x", kernel, fmt=scaled(sy, zero=zy, unsigned=True))
    found = executed(net.lowered(cpu()), CODES + 128).reshape(-1)
    for x in (0, 1, 100, 128, 254, 255):
        exact = Fraction((x - zx) * w) * Fraction(sx) * Fraction(0.01) / Fraction(sy) + zy
        check(int(found[x]), exact, (0, 255))


@pytest.mark.parametrize("bits", [4, 8, 12, 16])
def test_every_width_saturates_at_its_own_ends(bits: int) -> None:
    """4 to 16 bits for weights and activations; 12 bits do not stop at 127."""
    net = Sketch({"x": (1, 16, 16)}, {})
    net.outputs["x"] = scaled(0.5)
    top = 2 ** (bits - 1) - 1
    kernel = net.real("w", np.full((1, 1, 1, 1), top * 0.25), scaled(0.25, bits=bits))
    net.add("conv", Op.CONV, "x", kernel, fmt=scaled(0.02, bits=bits))
    found = executed(net.lowered(cpu(bit_width=bits)), CODES).reshape(-1)
    for x in (-128, -3, 0, 5, 127):
        exact = Fraction(x) * Fraction(0.5) * top * Fraction(0.25) / Fraction(0.02)
        check(int(found[x + 128]), exact, (-top - 1, top))
    assert found.min() == -top - 1
    assert found.max() == top


def test_a_32_bit_bias_keeps_its_sign() -> None:
    """The largest code of a 32-bit bias, 2^31 − 1, does not turn negative."""
    net = Sketch({"x": (1, 16, 16)}, {})
    net.outputs["x"] = scaled(0.02)
    kernel = net.real("w", np.full((2, 1, 1, 1), 0.3), scaled(0.3 / 127))
    wide = FloatScale(32, (0.3 / (2**31 - 1),), (0,), (0.3,))
    bias = net.real("b", np.array([0.3, -0.3]), wide)
    net.add("conv", Op.CONV, "x", kernel, bias, fmt=scaled(0.01))
    setting = cpu()
    base = {**setting.base, Kind.BIAS: replace(setting.base[Kind.BIAS], bit_width=32)}
    found = executed(net.lowered(replace(setting, base=base)), np.zeros_like(CODES))
    assert found[0, :, 0, 0].tolist() == [30, -30]


def test_a_bias_far_beyond_the_sum_is_not_cut() -> None:
    """A bias of 2^36 steps of the sum saturates the output; it does not wrap."""
    net = Sketch({"x": (1, 16, 16)}, {})
    net.outputs["x"] = scaled(2.0**-30)
    kernel = net.real("w", np.full((1, 1, 1, 1), 2.0**-20), scaled(2.0**-20))
    bias = net.real("b", np.array([-1.0]), scaled(1 / 127))
    net.add("conv", Op.CONV, "x", kernel, bias, fmt=scaled(1 / 127))
    assert (executed(net.lowered(cpu()), CODES) == -127).all()


def test_unsigned_activations_saturate_negative_values_at_zero() -> None:
    """A leaky ReLU into an unsigned symmetric activation: negative results become 0."""
    net = Sketch({"x": (1, 16, 16)}, {})
    net.outputs["x"] = scaled(0.02)
    net.add("conv", Op.CONV, "x", net.real("w", np.full((1, 1, 1, 1), 1.0), scaled(1 / 127)))
    net.add("leaky", Op.LEAKY_RELU, "conv", fmt=scaled(0.02, unsigned=True), slope=0.1)
    found = executed(net.lowered(cpu(signed=False)), CODES).reshape(-1)
    assert not found[:128].any()
    assert found[129:].tolist() == list(range(1, 128))


@pytest.mark.parametrize(("mode", "tie"), [
    (RoundMode.HALF_UP, -1), (RoundMode.STD_ROUND, -2), (RoundMode.HALF_DOWN, -1),
    (RoundMode.HALF_EVEN, -2),
])  # fmt: skip
@pytest.mark.parametrize("shifts", [True, False])
def test_every_round_mode_is_followed(mode: RoundMode, tie: int, shifts: bool) -> None:
    """−1.5 under each of the four modes, as a shift and behind a multiplier; −2.5 likewise."""
    net = Sketch({"x": (1, 16, 16)}, {})
    fine: TensorFormat = FixPosition(8, 1) if shifts else scaled(0.5)
    coarse: TensorFormat = FixPosition(8, 0) if shifts else scaled(1.0)
    net.outputs["x"] = fine
    net.add("conv", Op.CONV, "x", net.real("w", np.ones((1, 1, 1, 1)), coarse), fmt=coarse)
    found = executed(net.lowered(cpu(round_mode=mode)), CODES).reshape(-1)
    assert found[-3 + 128] == tie
    assert found[-5 + 128] == (-3 if mode is RoundMode.STD_ROUND else -2)


def test_one_layer_may_round_in_a_way_of_its_own() -> None:
    """A setting for one layer changes that layer's rounding and no other's."""
    net = Sketch({"x": (1, 16, 16)}, {"x": 1})
    for name, source in (("first", "x"), ("second", "first")):
        kernel = net.constant(f"{name}.w", [[[[1]]]], 0)
        net.add(name, Op.CONV, source, kernel, position=1 if name == "first" else 0)
    layers = frozen_mapping({"second": cpu(round_mode=RoundMode.STD_ROUND).base})
    setting = replace(cpu(round_mode=RoundMode.HALF_UP), layers=layers)
    assert executed(net.lowered(setting), CODES).reshape(-1)[-3 + 128] == -2


def test_a_narrow_range_is_kept_everywhere() -> None:
    """−128 appears neither in inputs nor in weights nor in activations."""
    net = Sketch({"x": (1, 16, 16)}, {"x": 0})
    net.add("conv", Op.CONV, "x", net.constant("w", [[[[-128]]], [[[1]]]], 0), position=0)
    graph = net.lowered(cpu(narrow_range=True))
    assert graph.constants["w"].reshape(-1).tolist() == [-127, 1]
    found = executed(graph, CODES)
    assert found.min() == -127
    assert found[0, 1, 0, 0] == -127


def test_a_layer_may_read_its_input_in_a_width_of_its_own() -> None:
    """4-bit input of one layer: the 8-bit tensor is rounded again, for that layer alone."""
    net = Sketch({"x": (1, 16, 16)}, {"x": 4})
    net.add("conv", Op.CONV, "x", net.constant("w", [[[[1]]]], 0), position=0)
    net.own["conv"] = FixPosition(4, 0)
    expected = [min(max(math.floor(Fraction(x, 16) + HALF), -8), 7) for x in range(-128, 128)]
    assert executed(net.lowered(), CODES).reshape(-1).tolist() == expected


@pytest.mark.parametrize(
    "fields", [{"zero": -3, "unsigned": True}, {"zero": 300, "unsigned": True}]
)
def test_a_zero_point_outside_the_codes_is_refused(fields: Mapping[str, Any]) -> None:
    """A range without zero, which the original makes, has one clear line."""
    net = Sketch({"x": (1, 16, 16)}, {})
    net.outputs["x"] = scaled(0.1, **fields)
    net.add("relu", Op.RELU, "x", fmt=scaled(0.1))
    with pytest.raises(UnsupportedError, match="leaves out zero"):
        net.lowered(cpu())


def test_a_missing_format_is_refused_by_name() -> None:
    """Weights that nobody calibrated are named."""
    net = Sketch({"x": (1, 16, 16)}, {"x": 4})
    net.add("conv", Op.CONV, "x", net.constant("w", [[[[1]]]], 0), position=0)
    net.params.clear()
    with pytest.raises(UnsupportedError, match="weights 'w' of layer 'conv'"):
        net.lowered()
