"""Alignment leaves only shifts that the hardware has, and tells every change."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.vitis.quantize.building import Sketch

from nibblefit.ir.ops import Op
from nibblefit_vitis.alignment import Change, align
from nibblefit_vitis.formats import FixPosition, FloatScale, NetworkFormats
from nibblefit_vitis.settings import Device, NetworkSetting

Direction = Literal["output", "weights"]
DIRECTIONS: tuple[Direction, ...] = ("output", "weights")
PARITY, DEFAULT = NetworkSetting(parity=True), NetworkSetting()
POSITION = st.integers(-6, 15)


def layer(fi: int, fw: int, fo: int, fb: int | None = None, *, leaky: bool = False) -> Sketch:
    """Return one convolution with stated positions."""
    net = Sketch({"x": (1, 4, 4)}, {"x": fi})
    given_ = ["x", net.constant("w", [[[[1]]]], fw)]
    if fb is not None:
        given_.append(net.constant("b", [1], fb))
    net.add("conv", Op.CONV, *given_, position=None if leaky else fo)
    if leaky:
        net.add("leaky", Op.LEAKY_RELU, "conv", position=fo, slope=26 / 256)
    return net


def moved(net: Sketch, setting: NetworkSetting,
          direction: Direction = "output") -> dict[str, int]:  # fmt: skip
    """Return the aligned positions by name, after checking that the changes tell all of them."""
    before = net.formats()
    after, changes = align(net.graph(), before, setting, direction=direction)
    told = positions(before)
    for change in changes:
        assert told[change.tensor] == change.old != change.new
        told[change.tensor] = change.new
    assert told == positions(after)
    return told


def positions(formats: NetworkFormats) -> dict[str, int]:
    """Return all fix positions."""
    both = {**formats.params, **formats.outputs}
    return {name: f.position for name, f in both.items() if isinstance(f, FixPosition)}


@pytest.mark.parametrize(("setting", "direction", "expected"), [
    (PARITY, "output", {"conv": 5}), (DEFAULT, "output", {"conv": 5}),
    (PARITY, "weights", {"w": 7}), (DEFAULT, "weights", {"w": 7}),
])  # fmt: skip
def test_a_left_shift_is_repaired_in_either_direction(
    setting: NetworkSetting, direction: Direction, expected: dict[str, int]
) -> None:
    """Fw + fi − fo = −2: the output becomes two steps coarser, or the weights two finer."""
    start = {"x": 0, "w": 5, "conv": 7}
    assert moved(layer(0, 5, 7), setting, direction) == {**start, **expected}


@pytest.mark.parametrize("setting", [PARITY, DEFAULT])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_shift_above_16_coarsens_the_weights(
    setting: NetworkSetting, direction: Direction
) -> None:
    """Fw + fi − fo = 19 − 0: weights lose three positions."""
    assert moved(layer(9, 10, 0), setting, direction) == {"x": 9, "w": 7, "conv": 0}


def test_the_originals_bias_rule_uses_the_shift_before_its_repair() -> None:
    """Cut = −4 is repaired, but the room of the bias is still min(0, −(24 − (8 − 4))) = −20."""
    found = moved(layer(0, 0, 4, 30), PARITY)
    assert found == {"x": 0, "w": 0, "conv": 0, "b": 20}
    assert moved(layer(0, 0, 4, 30), DEFAULT)["b"] == 16


@pytest.mark.parametrize(("setting", "direction", "expected"), [
    (PARITY, "output", {"w": 8}), (DEFAULT, "output", {"w": 7}),
    (PARITY, "weights", {"b": 0}), (DEFAULT, "weights", {"b": 1}),
])  # fmt: skip
def test_a_coarse_bias_moves_what_the_direction_says(
    setting: NetworkSetting, direction: Direction, expected: dict[str, int]
) -> None:
    """Fw + fi − fb = 20: at most 16 for the original, 15 in the union with Quark's rules."""
    start = {"x": 4, "w": 12, "conv": 5, "b": -4}
    assert moved(layer(4, 12, 5, -4), setting, direction) == {**start, **expected}


def test_a_bias_before_a_leaky_relu_is_never_finer_than_the_sum() -> None:
    """Quark's rule; the original has none."""
    assert moved(layer(2, 3, 4, 9, leaky=True), DEFAULT)["b"] == 5
    assert moved(layer(2, 3, 4, 9, leaky=True), PARITY)["b"] == 9
    assert moved(layer(2, 3, 4, 9), DEFAULT)["b"] == 9


def test_what_moves_values_takes_its_inputs_position() -> None:
    """Padding and nearest resizing cannot shift; in front of a concatenation they are left."""
    net = Sketch({"x": (1, 2, 2)}, {"x": 3})
    net.add("pad", Op.PAD, "x", position=5, pads=(0, 1, 1, 0, 1, 1))
    net.add("big", Op.RESIZE_NEAREST, "pad", position=6, sizes=(8, 8), coordinates="asymmetric")
    net.add("small", Op.RESIZE_NEAREST, "x", position=7, sizes=(8, 8), coordinates="asymmetric")
    net.add("join", Op.CONCAT, "big", "small", position=4, axis=1)
    assert moved(net, PARITY) == {"x": 3, "pad": 3, "big": 6, "small": 7, "join": 4}


@pytest.mark.parametrize("parity", [True, False])
def test_concatenations_and_pools_adopt_only_where_asked(parity: bool) -> None:
    """Inputs take their output's position, against the flow, through several in a row."""
    net = Sketch({"x": (2, 4, 4)}, {"x": 3})
    for name, position in (("a", 6), ("b", 5)):
        net.add(name, Op.CONV, "x", net.constant(f"{name}.w", [[[[1]], [[1]]]], 8),
                position=position)  # fmt: skip
    net.add("join", Op.CONCAT, "a", "b", position=4, axis=1)
    net.add("pool", Op.MAX_POOL, "join", position=2, kernel=(2, 2), strides=(2, 2))
    plain = moved(net, NetworkSetting(parity=parity))
    assert (plain["a"], plain["b"], plain["join"]) == (6, 5, 4)
    asked = NetworkSetting(parity=parity, change_concat_input_fix=True, change_pool_input_fix=True)
    found = moved(net, asked)
    assert [found[name] for name in ("a", "b", "join", "pool")] == [2, 2, 2, 2]


@pytest.mark.parametrize(("parity", "expected"), [(True, (7, 7)), (False, (3, 3))])
def test_a_finer_output_does_not_cut_off_its_input(parity: bool, expected: tuple[int, int]) -> None:
    """The original moves the input to 7, where its values saturate; the union takes the coarser."""
    net = Sketch({"x": (2, 4, 4)}, {"x": 3})
    net.add("pool", Op.GLOBAL_AVG_POOL, "x", position=7)
    found = moved(net, NetworkSetting(parity=parity, change_pool_input_fix=True))
    assert (found["x"], found["pool"]) == expected


@given(fi=POSITION, fo=POSITION)
def test_gates_reach_their_outputs(fi: int, fo: int) -> None:
    """Hard sigmoid: fi ≥ 0, fo ≥ 7; hard swish: fi ≥ 0, fo ≤ fi + 7, in both modes."""
    for parity in (True, False):
        for op, attributes in ((Op.HARD_SIGMOID, {"alpha": 1 / 6, "beta": 0.5}),
                               (Op.HARD_SWISH, {})):  # fmt: skip
            net = Sketch({"x": (1, 4, 4)}, {"x": fi})
            net.add("gate", op, "x", position=fo, **attributes)
            found = moved(net, NetworkSetting(parity=parity))
            assert found["x"] == max(fi, 0)
            if op is Op.HARD_SIGMOID:
                most = max(fo, 7) if parity else min(max(fo, 7), 14 + max(fi, 0))
                assert found["gate"] == most
            else:
                assert found["gate"] <= found["x"] + 7
                assert parity or found["x"] + 7 - found["gate"] <= 15


@given(data=st.data(), direction=st.sampled_from(DIRECTIONS), bias=st.booleans(),
       leaky=st.booleans())  # fmt: skip
def test_layers_sums_and_products_end_in_range(
    data: st.DataObject, direction: Direction, bias: bool, leaky: bool
) -> None:
    """Every shift of the union of rules is legal, wherever positions started."""
    names = ("x", "w", "b", "v", "first", "second", "sum", "product")
    at = {name: data.draw(POSITION, label=name) for name in names}
    net = Sketch({"x": (1, 4, 4)}, {"x": at["x"]})
    extra = [net.constant("b", [1], at["b"])] if bias else []
    net.add("conv", Op.CONV, "x", net.constant("w", [[[[1]]]], at["w"]), *extra,
            position=None if leaky else at["first"])  # fmt: skip
    if leaky:
        net.add("leaky", Op.LEAKY_RELU, "conv", position=at["first"], slope=26 / 256)
    first = net.nodes[-1].output
    net.add("other", Op.CONV, "x", net.constant("v", [[[[1]]]], at["v"]), position=at["second"])
    net.add("add", Op.ADD, first, "other", position=at["sum"])
    net.add("mul", Op.MUL, "add", "other", position=at["product"])
    now = moved(net, DEFAULT, direction)
    for weights, out in (("w", first), ("v", "other")):
        cut = now[weights] + now["x"] - now[out]
        assert 0 <= cut <= 16
        if bias and weights == "w":
            lift = now["w"] + now["x"] - now["b"]
            assert (0 if leaky else min(0, cut - 16)) <= lift <= 15
    pair = (now[first], now["other"])
    assert max(pair) - min(pair) <= 7
    assert -7 <= min(pair) - now["add"] <= 25
    assert 0 <= now["add"] + now["other"] - now["mul"] <= 32


def test_flexml_allows_one_shift_left_and_no_finer_bias() -> None:
    """Cut from −1 on, bias from 0 on."""
    flexml = NetworkSetting(device=Device.FLEXML, parity=True)
    assert moved(layer(0, 5, 6, 6), flexml) == {"x": 0, "w": 5, "conv": 6, "b": 5}
    assert moved(layer(0, 5, 7), flexml)["conv"] == 5


def test_float_scales_and_other_devices_are_left_alone() -> None:
    """Nothing is moved where nothing is a shift, or where the device is no DPU."""
    net = layer(0, 5, 9)
    assert align(net.graph(), net.formats(), NetworkSetting(device=Device.CPU))[1] == ()
    scale = FloatScale(8, (0.1,), (0,), (12.7,))
    net.outputs["conv"] = scale
    found, changes = align(net.graph(), net.formats(), DEFAULT)
    assert changes == ()
    assert found.outputs["conv"] is scale


@pytest.mark.parametrize(("op", "attributes"), [
    (Op.HARD_SIGMOID, {"alpha": 1 / 6, "beta": 0.5}), (Op.HARD_SWISH, {}), (Op.ADD, {}),
    (Op.MUL, {}), (Op.PAD, {"pads": (0, 0, 0, 0, 0, 0), "value": 0.0}), (Op.CONCAT, {"axis": 1}),
])  # fmt: skip
def test_layers_with_a_float_scale_move_nothing(op: Op, attributes: dict[str, object]) -> None:
    """One operand without a position leaves a whole layer alone, also where inputs would adopt."""
    net = Sketch({"x": (1, 4, 4), "y": (1, 4, 4)}, {"x": -3, "y": 12})
    inputs = ("x", "y") if op in (Op.ADD, Op.MUL, Op.CONCAT) else ("x",)
    net.add("end", op, *inputs, fmt=FloatScale(8, (0.1,), (0,), (12.7,)), **attributes)
    asked = NetworkSetting(change_concat_input_fix=True)
    assert moved(net, asked) == {"x": -3, "y": 12}


def test_a_bias_with_a_float_scale_is_left() -> None:
    """The layer's own shift is repaired, its bias has no position to move."""
    net = layer(0, 5, 7, 3)
    net.params["b"] = FloatScale(8, (0.1,), (0,), (12.7,))
    assert moved(net, DEFAULT) == {"x": 0, "w": 5, "conv": 5}


def test_a_layers_own_input_position_counts() -> None:
    """Where a layer reads its input at a position of its own, its shifts follow from that."""
    net = layer(0, 5, 7)
    net.own["conv"] = FixPosition(8, 4)
    assert moved(net, DEFAULT) == {"x": 0, "w": 5, "conv": 7}
    net.own["conv"] = FixPosition(8, 1)
    assert moved(net, DEFAULT) == {"x": 0, "w": 5, "conv": 6}


def test_a_change_reads_as_a_sentence() -> None:
    """Tensor, both positions, the rule and the layer."""
    _, (change,) = align(layer(0, 5, 7).graph(), layer(0, 5, 7).formats(), DEFAULT)
    assert change == Change("conv", 7, 5, "its sum would be shifted left by 2", "conv")
    assert str(change) == ("fix position of 'conv' 7 → 5: its sum would be shifted left by 2 "
                           "('conv')")  # fmt: skip
