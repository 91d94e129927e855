"""The fused float32 tail equals the integer steps on every possible sum, or is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nibblefit.engine import onednn
from nibblefit.engine.ranges import Range
from nibblefit.engine.requantization import NotAStaircaseError, Staircase, fuse
from nibblefit.fixed.apply import apply_steps
from nibblefit.fixed.formats import Rounding
from nibblefit.fixed.steps import Add, Clamp, Lookup, Mul, ShiftLeft, ShiftRight, Steps, int_param

HALF_UP = Rounding.HALF_UP


def tail_on(sums: np.ndarray, tail: onednn.Tail) -> np.ndarray:
    """Return what IEEE float32 arithmetic makes of sums, operation by operation, with numpy."""
    total = sums.astype(np.float32) * tail.scale.numpy()[0]
    total = (total + tail.bias.numpy()[0]).astype(np.float32)
    if tail.clip is not None:
        total = np.clip(total, *map(np.float32, tail.clip))
    limits = torch.iinfo(tail.dtype)
    return np.clip(np.rint(total), limits.min, limits.max).astype(np.int64)


def fused(steps: Steps, bias: int, sums: Range, result: Range) -> onednn.Tail:
    """Return the tail of a layer with one output channel."""
    stairs = Staircase.of(steps, np.array([bias], dtype=np.int64), axes=2)
    return fuse(stairs, [sums], result)


SIGNED, UNSIGNED, RECTIFIED = Range(-128, 127), Range(0, 255), Range(0, 127)
CASES = [
    (rounding, shift, result)
    for rounding in Rounding
    for shift in (0, 1, 2, 3, 7, 9)
    for result in (SIGNED, UNSIGNED, RECTIFIED, Range(-7, 100))
]


@pytest.mark.parametrize(("rounding", "shift", "result"), CASES)
def test_tail_equals_steps_on_every_sum(rounding: Rounding, shift: int, result: Range) -> None:
    """All sums of ±2^17, so every residue of every shift and all saturation, bias included."""
    steps = (Add(3), ShiftRight(shift, rounding), Add(2), Clamp(*result))
    sums = np.arange(-(1 << 17), 1 << 17)
    try:
        tail = fused(steps, -41, Range(int(sums[0]), int(sums[-1])), result)
    except NotAStaircaseError:
        # Only these roundings depend on the sign, and only if negative codes survive.
        by_sign = (Rounding.HALF_AWAY, Rounding.HALF_TOWARD_ZERO, Rounding.TOWARD_ZERO)
        assert rounding in by_sign
        assert result.lo < 2
        return
    np.testing.assert_array_equal(tail_on(sums, tail), apply_steps(sums - 41, steps))


@pytest.mark.parametrize("shift", [1, 8, 12])
def test_sums_beyond_float32_saturate(shift: int) -> None:
    """Sums up to 2^31 that float32 cannot hold still give the saturated code."""
    steps = (ShiftRight(shift, HALF_UP), Clamp(-128, 127))
    reach = Range(-(1 << 31), (1 << 31) - 1)
    tail = fused(steps, 77, reach, SIGNED)
    near = np.arange(-(1 << 10), 1 << 10)
    sums = np.concatenate([near + centre for centre in (0, 1 << 23, 1 << 24, -(1 << 24), 1 << 30)])
    ends = np.array([reach.lo, reach.hi])
    sums = np.concatenate([sums, ends])
    np.testing.assert_array_equal(tail_on(sums, tail), apply_steps(sums + 77, steps))


def test_a_shift_too_wide_for_float32_is_refused() -> None:
    """Where the exact zone ends before saturation, there is no fusion."""
    steps = (ShiftRight(18, HALF_UP), Clamp(-128, 127))
    with pytest.raises(NotAStaircaseError, match="leave the exact zone"):
        fused(steps, 0, Range(-(1 << 30), 1 << 30), SIGNED)


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ((Lookup(np.arange(256), -128),), "no part of a staircase"),
        ((ShiftRight(1, HALF_UP), ShiftRight(1, HALF_UP)), "two shifts"),
        ((Mul(-3), ShiftRight(4, HALF_UP)), "not positive"),
        ((ShiftRight(4, HALF_UP), Mul(2)), "follows the shift"),
        ((Clamp(5, 3),), "cross"),
        ((ShiftRight(4, Rounding.HALF_EVEN), Add(1), Clamp(-128, 127)), "odd offset"),
        ((ShiftRight(int_param(np.full((1, 2, 2), 3)), HALF_UP),), "within a channel"),
        ((Add((1 << 24) + 1), ShiftRight(1, HALF_UP), Clamp(-128, 127)), "not a float32"),
        ((Clamp(-300, 300),), "do not fit 8 bits"),
    ],
)
def test_other_steps_are_refused_with_a_reason(steps: Steps, reason: str) -> None:
    """Everything outside the proof says which condition fails."""
    with pytest.raises(NotAStaircaseError, match=reason):
        fused(steps, 0, Range(-1000, 1000), Range(-300, 300) if "8 bits" in reason else SIGNED)


def test_multiplier_left_shift_and_early_clamp_are_part_of_the_staircase() -> None:
    """A rectifier before the shift, a left shift and a small multiplier fuse exactly."""
    steps = (ShiftLeft(2), Clamp(0, None), Mul(11), ShiftRight(9, HALF_UP), Clamp(-128, 127))
    sums = np.arange(-20000, 20000)
    tail = fused(steps, 5, Range(-20000, 20000), RECTIFIED)
    np.testing.assert_array_equal(tail_on(sums, tail), apply_steps(sums + 5, steps))


def test_channels_that_saturate_differently_are_refused() -> None:
    """OneDNN clips all channels alike."""
    steps = (Clamp(0, 900), ShiftRight(int_param(np.array([[[2]], [[3]]])), HALF_UP))
    stairs = Staircase.of(steps, np.zeros(2, dtype=np.int64), axes=2)
    with pytest.raises(NotAStaircaseError, match="different codes"):
        fuse(stairs, [Range(-5000, 5000)] * 2, UNSIGNED)
