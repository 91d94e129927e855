"""Rounding to a power-of-two format, with the gradient of the very rounding that it does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from nibblefit_vitis.settings import RoundMode
from nibblefit_vitis.simulation.rounding import rounded


@dataclass(frozen=True, slots=True)
class Codes:
    """Which integers a tensor is rounded to.

    Attributes:
        position: Fix position; a step is 2**-position.
        lowest: Smallest code.
        highest: Largest code.
        mode: Where ties go.
    """

    position: int
    lowest: int
    highest: int
    mode: RoundMode


def round_to_codes(x: Tensor, codes: Codes, threshold: Tensor | None = None) -> Tensor:
    """Return ``clamp(round(x / step)) · step``.

    Backward, with v = x / step: towards x the gradient passes where the rounded v is a code, and
    is zero elsewhere; towards the logarithm (base 2) of the threshold, of which the step is a
    fixed multiple, it is the sum of ``gradient · step · ln 2 · (round(v) − v)``, with the nearest
    code instead of the bracket where v was clamped. Source: Jain et al., Trained Quantization
    Thresholds (2020), equations 6 to 8.

    Args:
        x: Any floating tensor.
        codes: The format.
        threshold: Scalar log2 of the threshold; None where nothing is trained.
    """
    return cast("Tensor", _Round.apply(x, threshold, codes))  # type: ignore[no-untyped-call]


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: Tensor | None, codes: Codes) -> Tensor:
        # Powers of two scale exactly, so the only rounding is the one asked for.
        scaled = x * 2.0**codes.position
        nearest = rounded(scaled, codes.mode)
        taken = nearest.clamp(codes.lowest, codes.highest)
        ctx.position = codes.position
        inside = nearest == taken
        if threshold is not None and ctx.needs_input_grad[1]:
            ctx.save_for_backward(inside, torch.where(inside, taken - scaled, taken))
        else:
            ctx.save_for_backward(inside)
        return taken * 2.0**-codes.position

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None]:
        (gradient,) = gradients
        inside, *slope = ctx.saved_tensors
        towards_threshold = None
        if slope:
            step = 2.0**-ctx.position
            towards_threshold = (gradient * slope[0]).sum() * (step * math.log(2.0))
        return gradient * inside, towards_threshold, None


def floored(x: Tensor, position: int) -> Tensor:
    """Return x rounded down to multiples of ``2**-position``, straight through for gradients.

    This is what the DPU leaves of a bias that is finer than the sums it joins.
    """
    cut = torch.floor(x.detach() * 2.0**position) * 2.0**-position
    return x + (cut - x.detach())
