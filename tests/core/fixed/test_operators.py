"""Elementwise, activation, softmax, shape and run-time shift operators against definitions."""

from __future__ import annotations

import operator
from fractions import Fraction
from functools import reduce

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.core.fixed.exact import clamp, rounded

from nibblefit.fixed.formats import Rounding
from nibblefit.fixed.operators import activation, elementwise, shape, softmax
from nibblefit.fixed.operators.runtime_shift import RangeTracker, choose_shift, shift_right
from nibblefit.fixed.steps import Clamp, Mul, ShiftRight

SEED = st.integers(0, 2**32 - 1)
BINARY = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "or": operator.or_,
          "xor": operator.xor}  # fmt: skip
ROUNDINGS = st.sampled_from(list(Rounding))


@given(st.sampled_from(sorted(BINARY)), st.integers(2, 4), SEED)
def test_elementwise_operators_combine_left_to_right(name, count, seed):
    """Python's own operators, folded over the operands, give every element."""
    operands = np.random.default_rng(seed).integers(-128, 128, (count, 2, 5))
    found = elementwise.combine(name, list(operands))
    for index in np.ndindex(2, 5):
        assert found[index] == reduce(BINARY[name], [int(o[index]) for o in operands])


def test_elementwise_broadcasting_sets_the_batch_axis_aside():
    """A per-channel operand without spatial axes' batch meets every image alike."""
    x, per_channel = np.zeros((2, 3, 4, 4), dtype=np.int64), np.arange(3).reshape(1, 3, 1, 1)
    assert elementwise.combine("add", [x, per_channel])[1, :, 0, 0].tolist() == [0, 1, 2]
    rows = np.array([[10], [20]])  # (batch, 1): one number per image
    assert elementwise.combine("sub", [x, rows])[:, 0, 0, 0].tolist() == [-10, -20]


def test_scale_offset_acts_per_channel_on_integers_and_reals():
    """Each channel: x · scale + offset."""
    x = np.array([[[1, 2], [3, 4]]])
    found = elementwise.scale_offset(x, np.array([2, -1]), np.array([0, 5]))
    assert found.tolist() == [[[2, 4], [2, 1]]]
    real = elementwise.scale_offset(x.astype(float), np.array([2.0, -1.0]), np.array([0.0, 5.0]))
    assert real.tolist() == found.tolist()


@given(st.lists(st.integers(-1000, 1000), min_size=1), st.integers(-20, 0), st.integers(0, 20))
def test_rectifiers(values, lo, hi):
    """Relu, clip and abs on integers and on reals."""
    x = np.array([values])
    for kind in (np.int64, np.float64):
        typed = x.astype(kind)
        assert activation.relu(typed).tolist() == [[max(v, 0) for v in values]]
        assert activation.clip(typed, lo, hi).tolist() == [[clamp(v, lo, hi) for v in values]]
        assert activation.clip(typed, None, None).tolist() == [values]
        assert activation.absolute(typed).tolist() == [[abs(v) for v in values]]


def test_the_magnitude_of_the_lowest_int64_is_refused():
    """|−2^63| has no int64."""
    with pytest.raises(OverflowError, match="magnitude"):
        activation.absolute(np.array([-(2**63)]))


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=2), st.integers(-30, 30), ROUNDINGS)
def test_leaky_relus_send_each_side_through_its_own_steps(values, slope, rounding):
    """A rational slope below zero and steps above, in fractions."""
    x = np.array([values]).reshape(1, 2, 1)
    shift = (ShiftRight(8, rounding),)
    leaky = activation.leaky_relu(x, (Mul(26), *shift), (Clamp(None, 900),))
    parametric = activation.prelu(x, np.array([slope, 2]), shift, (Mul(3),))
    for channel, v in enumerate(values):
        below = rounded(Fraction(v * 26, 256), rounding)
        assert leaky[0, channel, 0] == (min(v, 900) if v >= 0 else below)
        factor = (slope, 2)[channel]
        below = rounded(Fraction(v * factor, 256), rounding)
        assert parametric[0, channel, 0] == (v * 3 if v >= 0 else below)


@given(st.integers(-128, 127), st.integers(0, 7))
def test_hard_gates(value, frac):
    """clamp(x + 3, 0, 6) and x times the gate, in steps of x."""
    three, six = 3 << frac, 6 << frac
    gate = clamp(value + three, 0, six)
    x = np.array([value])
    assert activation.hard_sigmoid(x, three, six).tolist() == [gate]
    swish = activation.hard_swish(x, three, six, (Mul(2731), ShiftRight(14, Rounding.HALF_UP)))
    assert swish.tolist() == [value * rounded(Fraction(gate * 2731, 2**14), Rounding.HALF_UP)]


@given(SEED, ROUNDINGS)
def test_softmax_is_the_share_of_the_table_sum(seed, rounding):
    """Every share is e · numerator / Σ e, exactly, with far distances at the table's last entry."""
    x = np.random.default_rng(seed).integers(-128, 128, (2, 4))
    table = np.array([255 >> (i // 8) for i in range(64)])
    found = softmax.softmax(x, table, 1, 255, rounding)
    for row, results in zip(x.tolist(), found.tolist(), strict=True):
        e = [int(table[min(max(row) - v, 63)]) for v in row]
        assert results == [rounded(Fraction(v * 255, sum(e)), rounding) for v in e]


def test_argmax_is_the_first_of_equals():
    """Ties go to the lower index; keepdims keeps the axis."""
    x = np.array([[3, 7, 7]])
    assert softmax.argmax(x, 1, False).tolist() == [1]
    assert softmax.argmax(x, 1, True).tolist() == [[1]]


@given(st.integers(1, 3), st.integers(1, 2), SEED)
def test_pixel_shuffle_equals_torch_and_its_formula(factor, channels, seed):
    """Order crd is torch's; order dcr follows ONNX's formula."""
    x = np.random.default_rng(seed).integers(0, 99, (2, channels * factor**2, 2, 3))
    expected = torch.nn.functional.pixel_shuffle(torch.from_numpy(x), factor).numpy()
    assert (shape.pixel_shuffle(x, factor, "crd") == expected).all()
    found = shape.pixel_shuffle(x, factor, "dcr")
    for n, c, i, j in np.ndindex(found.shape):
        source = ((i % factor) * factor + j % factor) * channels + c
        assert found[n, c, i, j] == x[n, source, i // factor, j // factor]


def test_movers_move():
    """Concat, slice, split, pad, flatten, reshape and transpose keep every value."""
    x = np.arange(24).reshape(1, 4, 2, 3)
    assert (shape.concat([x, x], 1)[:, 4:] == x).all()
    assert (shape.cut(x, (1, 3), (3, 0), (None, 2), (-2, 1)) == x[:, 3::-2, :, 0:2]).all()
    parts = shape.split(x, 1, (1, 3))
    assert [part.shape[1] for part in parts] == [1, 3]
    assert (np.concatenate(parts, 1) == x).all()
    padded = shape.pad(x, (0, 1, 0, 0, 0, 2), 7)
    assert padded.shape == (1, 4, 3, 5)
    assert (padded[:, :, 1:, :3] == x).all()
    assert padded[0, 0, 0, 0] == 7
    assert shape.flatten(x, 2).shape == (1, 4, 6)
    assert shape.reshape(x, (2, 12)).shape == (1, 2, 12)
    assert shape.transpose(x, (0, 2, 3, 1)).shape == (1, 2, 3, 4)


PERCENT = st.integers(0, 100)
FRAMES = st.lists(st.tuples(st.integers(-9999, 9999), st.integers(0, 9999)), min_size=1, max_size=6)


@given(FRAMES, st.tuples(PERCENT, PERCENT, st.integers(0, 4)), st.integers(0, 30), st.booleans())
def test_chosen_shifts_follow_the_running_range(frames, history, margin, signed):
    """The range blends old and new in percent, rounded outward, and the shift is the smallest."""
    first, later, many = history
    x = np.array([[lo, lo + width] for lo, width in frames])
    tracker = RangeTracker(8, signed, first, later, many, margin)
    shifts, state = choose_shift(x, tracker, np.zeros(3, dtype=np.int64))
    lo = hi = Fraction(0)
    for seen, (frame, shift) in enumerate(zip(x.tolist(), shifts[:, 0].tolist(), strict=True)):
        kept = Fraction(0 if seen == 0 else first if seen < many else later, 100)
        lo = Fraction(rounded(kept * lo + (1 - kept) * frame[0], Rounding.FLOOR))
        hi = -Fraction(rounded(-(kept * hi + (1 - kept) * frame[1]), Rounding.FLOOR))
        wide_lo = lo - -rounded(-abs(lo) * Fraction(margin, 100), Rounding.FLOOR)
        wide_hi = hi + -rounded(-abs(hi) * Fraction(margin, 100), Rounding.FLOOR)

        def fits(n, wide_lo=wide_lo, wide_hi=wide_hi):
            low, high = (-128, 127) if signed else (0, 255)
            top = rounded(wide_hi / 2**n, Rounding.FLOOR) <= high
            return top and (not signed or rounded(wide_lo / 2**n, Rounding.FLOOR) >= low)

        assert fits(shift)
        assert shift == 0 or not fits(shift - 1)
    assert state.tolist() == [lo, hi, len(frames)]


def test_a_batch_of_frames_equals_its_frames_one_by_one():
    """State carried along gives the same shifts as one batch."""
    x = np.random.default_rng(1).integers(-5000, 5000, (6, 3, 2))
    tracker = RangeTracker(8, True, 20, 5, 3, 10)
    batch, end = choose_shift(x, tracker, np.zeros(3, dtype=np.int64))
    state, single = np.zeros(3, dtype=np.int64), []
    for frame in x:
        shift, state = choose_shift(frame[None], tracker, state)
        single.append(shift[0])
    assert (np.array(single) == batch).all()
    assert (state == end).all()


def test_shift_right_takes_one_amount_per_image():
    """Each image: x / 2^amount, also for a constant x that is the same in every image."""
    amount = np.array([[1], [2]])
    x = np.full((2, 1, 2), 6)
    assert shift_right(x, amount, Rounding.HALF_UP).tolist() == [[[3, 3]], [[2, 2]]]
    bias = np.array([[6, -6]])
    assert shift_right(bias, amount, Rounding.HALF_UP).tolist() == [[3, -3], [2, -1]]


def test_a_range_that_needs_too_wide_a_shift_is_refused():
    """One signed bit cannot hold a 64-bit range."""
    with pytest.raises(OverflowError, match="needs a shift by 63 bits"):
        RangeTracker(1, True).shift(0, 2**62)
