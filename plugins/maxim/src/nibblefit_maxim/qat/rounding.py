"""Rounding and clipping with straight-through gradients, as the vendor's training package does.

Data and weights are *codes* here: integers held as floats, an 8-bit tensor within [−128, 127]. A
rounding passes every gradient on unchanged; a clamp passes it only where the rounded value lies
inside its bounds. Both are one step: the value before rounding is all that is kept, and one pass
over it gives the gradient.

Source: ai8x-training commit c3d4eb1, `ai8x.py` (`Quantize`, `Clamp`, `RoundQat`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nibblefit_maxim.layers import Activation
from nibblefit_maxim.scales import SUM_BITS, exponent_limits

LOW, HIGH = -128.0, 127.0
#: Share of the values above which sorting everything beats looking for the largest only.
_TOP_SHARE = 8
#: Powers of two below the largest value in which a quantile is looked for by counting.
_OCTAVES = 6
#: Exponents within which all powers of two that occur are normal float32 numbers.
_EXPONENTS = 100


def _below(bound: float) -> float:
    """Return the next smaller float32: torch's clamp gradient leaves its bounds out."""
    return float(np.nextafter(np.float32(bound), np.float32(-np.inf)))


def _inside(gradient: Tensor, value: Tensor, low: float, high: float) -> Tensor:
    """Return the gradient where low < value < high, zero elsewhere; one pass."""
    passed: Tensor = torch.ops.aten.hardtanh_backward(gradient, value, low, high)
    return passed


class _RoundClamp(torch.autograd.Function):
    """clamp(⌊x⌋, low, 127) for x = value + ½; the gradient is the rectifier's before rounding."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rectified: bool) -> Tensor:
        ctx.save_for_backward(x)
        ctx.rectified = rectified
        return x.floor().clamp_(0.0 if rectified else LOW, HIGH)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        (x,) = ctx.saved_tensors
        low = 0.5 if ctx.rectified else _below(LOW)
        return _inside(gradients[0], x, low, HIGH + 1.0), None


class _RoundAbs(torch.autograd.Function):
    """|clamp(⌊x + ½⌋, −128, 127)| up to 127, as the chip; or ⌊|x| + ½⌋, as the vendor trains."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, magnitude_first: bool) -> Tensor:
        ctx.save_for_backward(x)
        if magnitude_first:
            return x.abs().add_(0.5).floor_().clamp_(max=HIGH)
        return (x + 0.5).floor_().clamp_(LOW, HIGH).abs_().clamp_(max=HIGH)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        (x,) = ctx.saved_tensors
        bound = HIGH + 0.5
        return _inside(gradients[0], x, -bound, bound).mul_(x.sign()), None


def round_codes(
    x: Tensor, activation: Activation, *, shifted: bool = False, magnitude_first: bool = False
) -> Tensor:
    """Return the 8-bit codes of a layer's output: shifted, rounded, clipped and rectified.

    Args:
        x: Accumulator in units of the output's code.
        activation: Applied behind the clipping.
        shifted: The half that rounding adds is in `x` already; not with Abs.
        magnitude_first: Abs comes before rounding, as in the vendor's training; the chip and its
            compiler round first, which differs at negative ties.
    """
    if activation is Activation.ABS:
        result: Tensor = _RoundAbs.apply(x, magnitude_first)  # type: ignore[no-untyped-call]
        return result
    if not shifted:
        x = x + 0.5
    rounded: Tensor = _RoundClamp.apply(x, activation is Activation.RELU)  # type: ignore[no-untyped-call]
    return rounded


class _RoundWeights(torch.autograd.Function):
    """clamp(⌊w · scale · unit + ½⌋, −bound, bound − 1) · factor, straight-through inside."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes them by position
        ctx: Any, values: Tensor, scale: Tensor, unit: float, bound: float, factor: Tensor
    ) -> Tensor:
        shifted = (values * (scale * unit)).add_(0.5)
        ctx.save_for_backward(shifted, scale * unit * factor)
        ctx.bound = bound
        return shifted.floor().clamp_(-bound, bound - 1).mul_(factor)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        shifted, slope = ctx.saved_tensors
        inside = _inside(gradients[0], shifted, _below(-ctx.bound), ctx.bound)
        return inside.mul_(slope), None, None, None, None


def quantize_weights(
    values: Tensor, scale: Tensor, bits: int, factor: Tensor, unit: float
) -> Tensor:
    """Return the codes of weights or a bias, times `factor`, a power of two.

    Codes are ⌊v · scale · unit + ½⌋, clipped to `bits` bits; `unit` is 2^(bits−1), and 1 for the
    bias beside binary weights.
    """
    bound = float(1 << (bits - 1))
    result: Tensor = _RoundWeights.apply(values, scale, unit, bound, factor)  # type: ignore[no-untyped-call]
    return result


#: Magnitudes beyond this many steps of binary weights are not driven further out.
_BINARY_REACH = 2.0


class _Signs(torch.autograd.Function):
    """−1 below zero, else 1, times a factor.

    Straight-through, except where a step against the gradient would move a weight that is far
    from zero still further out: it would only become slower to change its sign again.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, scale: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(values, scale, factor)
        return torch.where(values < 0, -factor, factor)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        values, scale, factor = ctx.saved_tensors
        (gradient,) = gradients
        outward = (gradient * values < 0) & (values.abs() * scale > _BINARY_REACH)
        return (gradient * (scale * factor)).masked_fill_(outward, 0.0), None, None


def binary_weights(values: Tensor, scale: Tensor, factor: Tensor) -> Tensor:
    """Return the signs of weights, times `factor`, a power of two; zero counts as positive."""
    result: Tensor = _Signs.apply(values, scale, factor)  # type: ignore[no-untyped-call]
    return result


def binary_scale(weights: Tensor, threshold: int) -> Tensor:
    """Return 2^B of binary weights as a scalar tensor, without leaving the device.

    The same B as `nibblefit_maxim.scales.binary_exponent`, by the same formula.
    """
    with torch.no_grad():
        magnitudes = weights.detach().abs().double()
        largest = magnitudes.max()
        place = SUM_BITS - torch.frexp(largest).exponent
        total = torch.ldexp(magnitudes, place).to(torch.int64).sum()
        # Dividing once, so that both places round alike.
        _, exponent = torch.frexp((4 * total).double() / (3 * weights.numel()))
        low, high = (bound - threshold for bound in exponent_limits(1))
        power = torch.where(largest == 0.0, high, (place + 1 - exponent).clamp(low, high))
        return torch.ldexp(torch.ones((), dtype=weights.dtype, device=weights.device), power)


class _RoundEven(torch.autograd.Function):
    """clamp(round-half-even(128x), −128, 127), gradient · 128 inside the bounds."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        rounded = (x * 128.0).round_()
        ctx.save_for_backward(rounded)
        return rounded.clamp(LOW, HIGH)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        (rounded,) = ctx.saved_tensors
        return (_inside(gradients[0], rounded, LOW - 1, HIGH + 1).mul_(128.0),)


def quantize_input(x: Tensor) -> Tensor:
    """Return the codes of the network's input; real values are rounded half to even."""
    result: Tensor = _RoundEven.apply(x)  # type: ignore[no-untyped-call]
    return result


class _Replace(torch.autograd.Function):
    """Another value with the gradient of the first."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor) -> Tensor:  # noqa: ARG004
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:  # noqa: ARG004
        return gradients[0], None


def straight_through(x: Tensor, value: Tensor) -> Tensor:
    """Return `value` (not tracked by autograd), whose gradient goes to `x` unchanged."""
    result: Tensor = _Replace.apply(x, value)  # type: ignore[no-untyped-call]
    return result


def whole_average(average: Tensor, count: int, *, is_rounded: bool = False) -> Tensor:
    """Return an average of codes over `count` positions as a code, truncated toward zero.

    The sum is recovered as an integer first, so that the division is the hardware's. With
    `is_rounded` halves are rounded away from zero instead.
    """
    with torch.no_grad():
        total = (average * float(count)).round_()
        if is_rounded:
            total = total + total.sign() * (count / 2)
        exact = total.div_(count).trunc_()
    return straight_through(average, exact)


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
    """Return the quantile of all magnitudes, or another value with the same scale.

    Nothing is sorted where counting will do: it is enough to know between which powers of two the
    quantile lies.
    """
    if quantile == 1.0:
        low, high = weights.detach().aminmax()
        limit = torch.maximum(-low, high)
        return limit if bias is None else torch.maximum(limit, bias.detach().abs().max())
    parts = [weights.detach().reshape(-1)]
    if bias is not None:
        parts.append(bias.detach().reshape(-1))
    values = torch.cat(parts).abs_()
    position = quantile * (values.numel() - 1)
    below = math.floor(position)
    # Reading a count costs a graphics processor more than looking for the largest.
    octave = _octave(values, below) if values.device.type == "cpu" else None
    if octave is not None:
        return torch.full((), octave, dtype=values.dtype)
    count = values.numel() - below
    if count * _TOP_SHARE <= values.numel():
        top = values.topk(count, sorted=True).values
        lower, upper = top[-1].double(), top[max(count - 2, 0)].double()
    else:
        ordered = values.sort().values
        lower, upper = ordered[below].double(), ordered[min(below + 1, len(ordered) - 1)].double()
    return lower + (upper - lower) * (position - below)


def _octave(values: Tensor, below: int) -> float | None:
    """Return 2^e with 2^(e−1) < values[below], values[below + 1] ≤ 2^e, counted as if sorted.

    None if the two lie on different sides of a power of two, or far below the largest.
    """
    mantissa, exponent = math.frexp(float(values.max()))
    if not math.isfinite(mantissa) or abs(exponent) > _EXPONENTS:
        return None
    exponent -= mantissa == 0.5
    wanted = values.numel() - below
    for _ in range(_OCTAVES):
        above = int(torch.count_nonzero(values > 2.0 ** (exponent - 1)))
        if above >= wanted:
            return 2.0**exponent
        if above == wanted - 1:
            return None
        exponent -= 1
    return None
