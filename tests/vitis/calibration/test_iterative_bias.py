"""The original's iterative bias correction: its steps, and when they end."""

from __future__ import annotations

import math

import pytest
import torch

from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit_vitis.calibration.iterative_bias import IterativeBias

NODE = Node("fc", Op.LINEAR, ("x", "w", "b"), ("fc",))


def layer() -> IterativeBias:
    """Return a layer of two outputs that returns its input."""
    return IterativeBias(torch.eye(2), torch.zeros(2), torch.zeros(2))


def steps(efficiency: float, count: int) -> list[float]:
    """Return how far the bias moves in each of `count` batches of a constant efficiency.

    Efficiency is 1.25 · log10(signal power / noise power); the signal's power is 1 here.
    """
    missed = 10 ** (-efficiency / 2.5)
    bias, x = layer(), torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    found = []
    for _ in range(count):
        before = bias.bias.clone()
        bias.update(NODE, (x,), x + missed)
        found.append(float((before - bias.bias).mean()) / missed)
    return found


def test_a_step_is_a_twentieth_of_the_mean_error() -> None:
    """While the ratio is poor, every batch moves the bias by 0.05 of the error."""
    assert steps(2.0, 5) == pytest.approx([0.05] * 5, rel=1e-3)


def test_the_rate_is_halved_above_an_efficiency_of_4() -> None:
    """With a constant 4.2 the smoothed value, 4.2 · (1 − 0.8**k), passes 4.0 in batch 14."""
    passing = math.ceil(math.log(1 - 4.0 / 4.2) / math.log(0.8))
    assert passing == 14
    found = steps(4.2, 16)
    assert found[:13] == pytest.approx([0.05] * 13, rel=1e-2)
    assert found[13:] == pytest.approx([0.025, 0.0125, 0.00625], rel=1e-2)


def test_correction_ends_when_the_efficiency_has_settled() -> None:
    """The smoothed deviation, 0.2 · k · 0.8**(k − 1) of the ratio, falls below 0.05 of it."""
    settled = next(
        k for k in range(1, 99) if 0.2 * k * 0.8 ** (k - 1) / (1 - 0.8**k) < 0.05 and k > 5
    )
    found = steps(2.0, settled + 3)
    assert found[settled - 2] > 0.04
    assert found[settled - 1 :] == [0.0] * 4


def test_correction_ends_above_an_efficiency_of_4_3() -> None:
    """A good ratio is left alone as soon as its smoothed value is reached."""
    found = steps(8.0, 6)
    # 8 · (1 − 0.8**4) = 4.72 in batch 4.
    assert [step > 0 for step in found] == [True, True, True, False, False, False]


def test_an_exact_layer_is_left_alone() -> None:
    """Without any error nothing moves."""
    bias, x = layer(), torch.tensor([[1.0, 2.0]])
    bias.update(NODE, (x,), x.clone())
    assert bias.bias.tolist() == [0.0, 0.0]
