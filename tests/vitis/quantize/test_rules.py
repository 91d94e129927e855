"""The DPU's integer rules against exact fractions, on judge, engine and twin."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.vitis.quantize.building import (
    CODES,
    Sketch,
    code,
    codes,
    executed,
    half_up,
    power,
)

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit_vitis.formats import FixPosition

FLAT = CODES.reshape(-1).tolist()
BYTE = st.integers(-128, 127)
POSITION = st.integers(-2, 12)


def pointwise(position: int) -> Sketch:
    """Return a sketch with an input of one channel that holds every code."""
    return Sketch({"x": (1, 16, 16)}, {"x": position})


@given(w=BYTE, b=BYTE, fi=POSITION, fw=POSITION, cut=st.integers(0, 16),
       lift=st.integers(-8, 15), relu=st.booleans())  # fmt: skip
def test_a_convolution_is_one_shift_of_the_exact_sum(
    *, w: int, b: int, fi: int, fw: int, cut: int, lift: int, relu: bool
) -> None:
    """Acc = x·w + (bias shifted by fw + fi − fb, low bits dropped); one rounding half up."""
    net = pointwise(fi)
    weights = net.constant("w", [[[[w]]]], fw)
    bias = net.constant("b", [b], fi + fw - lift)
    end = net.add("conv", Op.CONV, "x", weights, bias, position=None if relu else fi + fw - cut)
    if relu:
        net.add("relu", Op.RELU, end, position=fi + fw - cut)
    joined = b << lift if lift >= 0 else b >> -lift
    expected = codes([Fraction(x * w + joined) * power(-cut) for x in FLAT], 0 if relu else -128)
    assert executed(net.lowered(), CODES).reshape(-1).tolist() == expected


@pytest.mark.parametrize(("x", "expected"), [(-5, -2), (-3, -1), (-1, 0), (1, 1), (3, 2), (5, 3)])
def test_negative_ties_go_up(x: int, expected: int) -> None:
    """−2.5, −1.5 and −0.5 become −2, −1 and 0: toward +∞, as DPU_ROUND."""
    net = pointwise(0)
    net.add("conv", Op.CONV, "x", net.constant("w", [[[[1]]]], 0), position=-1)
    assert executed(net.lowered(), np.full((1, 1, 16, 16), x)).flat[0] == expected


@given(fi=st.integers(-2, 9), spread=st.integers(0, 7), write=st.integers(-6, 14), other=BYTE)
def test_a_sum_aligns_to_the_finer_operand(fi: int, spread: int, write: int, other: int) -> None:
    """Both operands are shifted left to the finer step; the sum is rounded once."""
    net = Sketch({"x": (1, 16, 16), "y": (1, 16, 16)}, {"x": fi, "y": fi + spread})
    fo = fi - write
    net.add("add", Op.ADD, "x", "y", position=fo)
    real = [Fraction(x) * power(-fi) + Fraction(other) * power(-fi - spread) for x in FLAT]
    found = executed(net.lowered(), CODES, np.full_like(CODES, other))
    assert found.reshape(-1).tolist() == codes([value * power(fo) for value in real])


@given(fi=POSITION, fj=POSITION, shift=st.integers(0, 32), other=BYTE)
def test_a_product_is_rounded_once(fi: int, fj: int, shift: int, other: int) -> None:
    """X · y shifted right by the sum of the positions less the output's."""
    net = Sketch({"x": (1, 16, 16), "y": (1, 16, 16)}, {"x": fi, "y": fj})
    net.add("mul", Op.MUL, "x", "y", position=fi + fj - shift)
    found = executed(net.lowered(), CODES, np.full_like(CODES, other))
    assert found.reshape(-1).tolist() == codes([Fraction(x * other) * power(-shift) for x in FLAT])


@pytest.mark.parametrize(("kernel", "multiplier", "shift"), [
    ((3, 3), 7, 6), ((5, 5), 10, 8), ((6, 6), 7, 8), ((3, 6), 14, 8), ((7, 7), 21, 10),
    ((14, 14), 21, 12), ((2, 2), 1, 2), ((4, 4), 1, 4), ((2, 3), 85, 9),
])  # fmt: skip
@pytest.mark.parametrize("move", [-1, 0, 2])
@pytest.mark.parametrize("whole", [False, True])
def test_averages_use_the_constant(
    kernel: tuple[int, int], multiplier: int, shift: int, move: int, whole: bool
) -> None:
    """Sum · m / 2^s, moved to the output's position, rounded once; pools global or windowed."""
    random = np.random.default_rng(3)
    pixels = random.integers(-128, 128, (4, 2, *kernel))
    net = Sketch({"x": (2, *kernel)}, {"x": 4})
    if whole:
        net.add("pool", Op.GLOBAL_AVG_POOL, "x", position=4 + move)
    else:
        net.add("pool", Op.AVG_POOL, "x", position=4 + move, kernel=kernel, strides=kernel,
                pads=(0, 0, 0, 0), dilations=(1, 1), ceil_mode=False,
                count_include_pad=True)  # fmt: skip
    sums = pixels.sum(axis=(2, 3)).reshape(-1).tolist()
    expected = codes([Fraction(total * multiplier) * power(move - shift) for total in sums])
    assert executed(net.lowered(), pixels).reshape(-1).tolist() == expected


@given(w=BYTE, fi=st.integers(0, 8), fw=st.integers(0, 8), cut=st.integers(0, 12))
def test_a_leaky_relu_scales_the_sum_before_its_rounding(
    w: int, fi: int, fw: int, cut: int
) -> None:
    """Negative sums times 26/256, then the one shift of the layer."""
    net = pointwise(fi)
    net.add("conv", Op.CONV, "x", net.constant("w", [[[[w]]]], fw))
    net.add("leaky", Op.LEAKY_RELU, "conv", position=fi + fw - cut, slope=26 / 256)
    sums = [Fraction(x * w) for x in FLAT]
    expected = codes([
        total * (1 if total >= 0 else Fraction(26, 256)) * power(-cut) for total in sums
    ])  # fmt: skip
    assert executed(net.lowered(), CODES).reshape(-1).tolist() == expected


@pytest.mark.parametrize("fi", range(9))
@pytest.mark.parametrize("fo", [7, 8, 10])
def test_a_hard_sigmoid_multiplies_by_2731(fi: int, fo: int) -> None:
    """relu6(x + 3) · 2731 / 2^14, every code."""
    net = pointwise(fi)
    net.add("gate", Op.HARD_SIGMOID, "x", position=fo, alpha=1 / 6, beta=0.5)
    expected = codes([gate(x, fi) * power(fo) for x in FLAT])
    assert executed(net.lowered(), CODES).reshape(-1).tolist() == expected


@pytest.mark.parametrize("fi", range(9))
@pytest.mark.parametrize("move", [-3, 0, 4])
def test_a_hard_swish_rounds_its_gate_to_8_bits(fi: int, move: int) -> None:
    """X times the gate as an 8-bit code with fix position 7, every code."""
    net = pointwise(fi)
    net.add("swish", Op.HARD_SWISH, "x", position=fi + move)
    expected = codes([x * Fraction(code(gate(x, fi) * 128), 128) * power(move) for x in FLAT])
    assert executed(net.lowered(), CODES).reshape(-1).tolist() == expected


def gate(x: int, fi: int) -> Fraction:
    """Return relu6(x + 3) · 2731 / 2^14 of a code."""
    return min(max(Fraction(x) * power(-fi) + 3, Fraction(0)), Fraction(6)) * Fraction(2731, 16384)


@pytest.mark.parametrize("move", [-3, -1, 0, 2])
def test_a_pool_with_a_position_of_its_own_requantizes_its_maxima(move: int) -> None:
    """The largest code of a window, then the shift between the two positions."""
    net = pointwise(5)
    net.add("pool", Op.MAX_POOL, "x", position=5 + move, kernel=(2, 2), strides=(2, 2),
            pads=(0, 0, 0, 0), dilations=(1, 1), ceil_mode=False)  # fmt: skip
    largest = CODES.reshape(8, 2, 8, 2).max(axis=(1, 3)).reshape(-1).tolist()
    expected = codes([Fraction(x) * power(move) for x in largest])
    assert executed(net.lowered(), CODES).reshape(-1).tolist() == expected


def test_a_concatenation_rounds_for_tensors_without_a_position() -> None:
    """A layer that only a concatenation reads rounds once, into the concatenation's position."""
    net = pointwise(4)
    net.add("conv", Op.CONV, "x", net.constant("w", [[[[77]]]], 6))
    net.outputs["conv"] = None
    net.add("join", Op.CONCAT, "conv", "x", position=3, axis=1)
    found = executed(net.lowered(), CODES)
    assert found[0, 0].reshape(-1).tolist() == codes([Fraction(77 * x, 128) for x in FLAT])
    assert found[0, 1].reshape(-1).tolist() == codes([Fraction(x, 2) for x in FLAT])


@given(value=st.floats(-40, 40), move=st.integers(-2, 2))
def test_padding_takes_the_inputs_step(value: float, move: int) -> None:
    """The padded real number saturates to a code of the input, then moves with the others."""
    net = pointwise(3)
    net.add("pad", Op.PAD, "x", position=3 + move, pads=(0, 1, 0, 0, 0, 0), value=value)
    padded = min(max(round(Fraction(value) * 8), -128), 127)
    found = executed(net.lowered(), CODES)[0, 0]
    assert found[0, 0] == code(Fraction(padded) * power(move))
    assert found[1:].reshape(-1).tolist() == codes([Fraction(x) * power(move) for x in FLAT])


@pytest.mark.parametrize("bound", [0.75, 6.0])
def test_a_clipped_layer_saturates_at_the_bounds_code(bound: float) -> None:
    """Conv + clip(0, bound): never above the bound rounded into the output's steps."""
    net = pointwise(3)
    net.add("conv", Op.CONV, "x", net.constant("w", [[[[64]]]], 6))
    net.add("clip", Op.CLIP, "conv", position=4, lo=0.0, hi=bound)
    top = half_up(Fraction(bound) * 16)
    expected = [min(code(Fraction(2 * x), 0), top) for x in FLAT]
    assert executed(net.lowered(), CODES).reshape(-1).tolist() == expected


def test_zeros_stay_zeros() -> None:
    """An all-zero layer at the finest position gives zeros."""
    net = pointwise(12)
    weights, bias = net.constant("w", [[[[0]]]], 12), net.constant("b", [0], 12)
    net.add("conv", Op.CONV, "x", weights, bias, position=12)
    assert not executed(net.lowered(), CODES).any()


def test_constants_may_stand_where_tensors_do() -> None:
    """A constant operand of a sum has its own format; without one the finest that covers it."""
    for calibrated in (True, False):
        net = pointwise(4)
        net.constant("c", np.full((1, 16, 16), 40), 3)
        if not calibrated:
            net.params.clear()
        net.add("add", Op.ADD, "x", "c", position=4)
        expected = codes([Fraction(x + 80) for x in FLAT])
        assert executed(net.lowered(), CODES).reshape(-1).tolist() == expected


def test_an_index_keeps_its_own_format() -> None:
    """Argmax over channels: positions of the largest codes, whatever was calibrated."""
    net = Sketch({"x": (3, 4, 4)}, {"x": 4})
    net.add("best", Op.ARGMAX, "x", axis=1, keepdims=False)
    pixels = np.random.default_rng(5).integers(-128, 128, (2, 3, 4, 4))
    np.testing.assert_array_equal(executed(net.lowered(), pixels), pixels.argmax(axis=1))


def test_weights_from_another_layer_are_refused_by_name() -> None:
    """Only constants have codes before a network runs."""
    net = Sketch({"x": (1, 4), "w": (3, 4)}, {"x": 4, "w": 4})
    net.nodes.append(Node("dense", Op.LINEAR, ("x", "w"), ("dense",)))
    net.shapes["dense"], net.outputs["dense"] = (1, 3), FixPosition(8, 4)
    with pytest.raises(UnsupportedError, match=r"layer 'dense'.*from another layer"):
        net.lowered()


def test_a_tensor_that_nobody_calibrated_is_refused_by_name() -> None:
    """A layer's output without any format has one clear line."""
    net = pointwise(4)
    net.add("pool", Op.GLOBAL_AVG_POOL, "x")
    with pytest.raises(UnsupportedError, match="tensor 'pool' has no format"):
        net.lowered()


def test_views_and_rectifiers_take_the_format_of_their_group() -> None:
    """Behind a group's end its format goes on; in front of it, it holds already."""
    net = pointwise(4)
    net.add("conv", Op.CONV, "x", net.constant("w", [[[[3]]]], 2))
    net.add("flat", Op.FLATTEN, "conv", start_axis=1)
    net.add("relu", Op.RELU, "flat", position=3)
    net.add("again", Op.RESHAPE, "relu", shape=(16, 16))
    graph = net.lowered()
    assert {graph.tensors[name].format for name in ("conv", "flat", "relu", "again")} == {
        graph.tensors["relu"].format
    }
    expected = codes([Fraction(3 * x, 8) for x in FLAT], 0)
    assert executed(graph, CODES).reshape(-1).tolist() == expected


@pytest.mark.parametrize("stated", [True, False])
def test_a_concatenation_rounds_a_resize_that_it_alone_reads(stated: bool) -> None:
    """Whether a file states that a tensor has no position or leaves it out, integers are equal."""
    net = Sketch({"x": (1, 8, 8), "y": (1, 16, 16)}, {"x": 6, "y": 5})
    net.add("big", Op.RESIZE_BILINEAR, "x", sizes=(16, 16), coordinates="half_pixel")
    if stated:
        net.outputs["big"] = None
    net.add("join", Op.CONCAT, "big", "y", position=5, axis=1)
    graph = net.lowered()
    assert graph.tensors["big"].format == graph.tensors["join"].format
    executed(graph, CODES.reshape(4, 1, 8, 8), CODES.repeat(4, axis=0))
