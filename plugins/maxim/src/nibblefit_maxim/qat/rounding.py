"""Rounding and clipping with straight-through gradients, as the vendor's training package does.

A rounding passes every gradient on unchanged; a clamp passes it only where the rounded value lies
inside its bounds. Both are one step here: one pass forward, one mask backward.

Source: ai8x-training commit c3d4eb1, `ai8x.py` (`Quantize`, `Clamp`, `RoundQat`).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from nibblefit_maxim.layers import Activation
from nibblefit_maxim.scales import exponent_limits

#: Real value of one code of normalised data.
_UNIT = 1.0 / 128.0


class _ShiftRoundClamp(torch.autograd.Function):
    """Shift, round, clip and rectify an accumulator, as the hardware does in this order.

    The gradient is the vendor's: that of the activation at the value before rounding, and nothing
    where the result saturates.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor | float, activation: Activation) -> Tensor:
        scaled = x * (scale * 128.0)
        codes = (scaled + 0.5).floor_()
        ctx.scale = scale
        if activation is Activation.ABS:
            size = (scaled.abs() + 0.5).floor_()
            ctx.save_for_backward(size > 127, scaled.sign())
            return codes.clamp_(-128, 127).abs_().clamp_(max=127).mul_(_UNIT)
        low = 0 if activation is Activation.RELU else -128
        below = scaled <= 0 if activation is Activation.RELU else codes < low
        ctx.save_for_backward(below.logical_or_(codes > 127))
        return codes.clamp_(low, 127).mul_(_UNIT)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        saturated, *sign = ctx.saved_tensors
        gradient = (gradients[0] * ctx.scale).masked_fill_(saturated, 0.0)
        return gradient.mul_(sign[0]) if sign else gradient, None, None


def quantize_data(
    x: Tensor, scale: Tensor | float = 1.0, activation: Activation = Activation.NONE
) -> Tensor:
    """Return the 8-bit output of a layer: multiples of 1/128 within [−1, 127/128].

    Args:
        x: Accumulator, in units of 1.
        scale: Power of two by which the hardware's shift multiplies before rounding.
        activation: Applied behind the clipping.
    """
    result: Tensor = _ShiftRoundClamp.apply(x, scale, activation)  # type: ignore[no-untyped-call]
    return result


class _RoundClampWeights(torch.autograd.Function):
    """clamp(⌊w · scale · unit + ½⌋, −unit, unit − 1) / unit, gradient · scale inside."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, scale: Tensor, unit: float) -> Tensor:
        codes = (values * (scale * unit)).add_(0.5).floor_()
        ctx.save_for_backward((codes >= -unit) & (codes <= unit - 1))
        ctx.scale = scale
        return codes.clamp_(-unit, unit - 1).div_(unit)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside * ctx.scale, None, None


def quantize_weights(values: Tensor, scale: Tensor, bits: int) -> Tensor:
    """Return values · scale as weights: multiples of 2^−(bits−1) within [−1, 1 − 2^−(bits−1)]."""
    result: Tensor = _RoundClampWeights.apply(values, scale, float(1 << (bits - 1)))  # type: ignore[no-untyped-call]
    return result


class _RoundEven(torch.autograd.Function):
    """clamp(round-half-even(128x), −128, 127) / 128, gradient inside the bounds."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        rounded = (x * 128.0).round_()
        ctx.save_for_backward((rounded >= -128) & (rounded <= 127))
        return rounded.clamp_(-128, 127).div_(128.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        (inside,) = ctx.saved_tensors
        return (gradients[0] * inside,)


def quantize_input(x: Tensor) -> Tensor:
    """Return the network's input as data; real values are rounded half to even."""
    result: Tensor = _RoundEven.apply(x)  # type: ignore[no-untyped-call]
    return result


def truncate_average(average: Tensor, count: int) -> Tensor:
    """Return an average over `count` positions truncated toward zero to a multiple of 1/128.

    The sum is recovered as an integer first, so that the division is the hardware's.
    """
    with torch.no_grad():
        total = (average * (128.0 * count)).round_()
        exact = total.div_(count).trunc_().div_(128.0)
    return average + (exact - average).detach()


def weight_scale(
    weights: Tensor, bias: Tensor | None, bits: int, quantile: float, threshold: int
) -> Tensor:
    """Return 2^B for one layer as a scalar tensor, without leaving the device.

    The same B as `nibblefit_maxim.scales.weight_exponent`, by the same formula.
    """
    with torch.no_grad():
        limit = _magnitude(weights, bias, quantile)
        mantissa, exponent = torch.frexp(limit)
        power = torch.where(mantissa == 0.5, 1 - exponent, -exponent)
        low, high = (bound - threshold for bound in exponent_limits(bits))
        power = torch.where(limit == 0.0, high, power.clamp(low, high))
        return torch.ldexp(torch.ones((), dtype=weights.dtype, device=weights.device), power)


def _magnitude(weights: Tensor, bias: Tensor | None, quantile: float) -> Tensor:
    parts = [weights.detach().abs().reshape(-1)]
    if bias is not None:
        parts.append(bias.detach().abs().reshape(-1))
    if quantile == 1.0:
        return torch.stack([part.max() for part in parts]).max()
    values = torch.cat(parts).double().sort().values
    position = quantile * (values.numel() - 1)
    below = math.floor(position)
    above = min(below + 1, values.numel() - 1)
    return values[below] + (values[above] - values[below]) * (position - below)
