"""Fake quantization: real numbers rounded to their codes, straight through for gradients.

Source: tao_tensorflow1_backend, commit 2ec95cbb, its QDQ layer and quantized convolutions:
symmetric, scale ``amax / 127``, halves to even; activations in -128 … 127, weights in -127 … 127.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nibblefit_tao.numerics import LEVELS

#: Smallest scale; below it lies float32's resolution of 1 / scale.
_TINY = 2.0**-100


class _Rounded(torch.autograd.Function):
    """``clip(round(x · (1 / scale)), lowest, highest) · scale``; gradients pass inside."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, lowest: int, highest: int) -> Tensor:
        # The reciprocal first, as TensorFlow does: ties then fall to the same side.
        codes = torch.round(x * (1 / scale))
        ctx.save_for_backward((codes >= lowest) & (codes <= highest))
        return codes.clamp(lowest, highest) * scale

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None, None


def round_activation(x: Tensor, scale: Tensor) -> Tensor:
    """Return x in whole steps of a scale of one element, within -128 … 127 of them."""
    return _rounded(x, scale, -LEVELS - 1)


def round_weights(weights: Tensor, axis: int | None = None) -> Tensor:
    """Return weights in whole steps of ``max|w| / 127``, of all or of each index along an axis."""
    rest = tuple(place for place in range(weights.dim()) if place != axis)
    largest = weights.detach().abs()
    if rest:
        largest = largest.amax(dim=rest, keepdim=True)
    return _rounded(weights, scale_of(largest), -LEVELS)


def scale_of(largest: Tensor) -> Tensor:
    """Return the scale of a largest magnitude."""
    return (largest / LEVELS).clamp(min=_TINY)


def _rounded(x: Tensor, scale: Tensor, lowest: int) -> Tensor:
    result = _Rounded.apply(x, scale, lowest, LEVELS)  # type: ignore[no-untyped-call]
    assert isinstance(result, Tensor)
    return result
