"""Sums of products in the cheapest dtype in which they are exact."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from nibblefit.fixed.geometry import Window
from nibblefit.ir.attributes import spatial, window_of
from nibblefit.ir.graph import Attributes

_CONV = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSE = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


def torch_pads(pads: Sequence[int]) -> list[int]:
    """Return pads (begins, then ends) as torch wants them: last axis first, in pairs."""
    half = len(pads) // 2
    return [p for axis in reversed(range(half)) for p in (pads[axis], pads[half + axis])]


def conv(attributes: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    """Return the convolution of integer-valued tensors, bias added."""
    x, weights = inputs[:2]
    window = window_of(attributes, tuple(weights.shape[2:]))
    if any(window.pads):
        x = functional.pad(x, torch_pads(window.pads))
    result = _CONV[window.axes](
        x, weights, None, window.strides, 0, window.dilations, int(attributes.get("groups", 1))
    )
    return with_bias(result, inputs)


def conv_transpose(attributes: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    """Return the transposed convolution: everything, then cut by the pads."""
    x, weights = inputs[:2]
    window = window_of(attributes, tuple(weights.shape[2:]))
    whole = _TRANSPOSE[window.axes](
        x, weights, None, window.strides, 0, 0, int(attributes.get("groups", 1)), window.dilations
    )
    extra = spatial(attributes, "output_padding", window.axes, 0)
    crop = [-p for p in window.begins()] + [
        e - p for e, p in zip(extra, window.ends(), strict=True)
    ]
    return with_bias(functional.pad(whole, torch_pads(crop)), inputs)


def linear(_: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    """Return ``x · weightsᵀ``, bias added along the last axis."""
    product = torch.matmul(inputs[0], inputs[1].transpose(0, 1))
    if len(inputs) < 3:
        return product
    bias = inputs[2]
    if bias.dim() == 2:  # one bias per image
        bias = bias.reshape(bias.shape[0], *[1] * (product.dim() - 2), -1)
    return product + bias


def with_bias(sums: Tensor, inputs: Sequence[Tensor]) -> Tensor:
    """Add a bias (channels,) or (batch, channels) along axis 1."""
    if len(inputs) < 3:
        return sums
    bias = inputs[2] if inputs[2].dim() == 2 else inputs[2][None]
    return sums + bias.reshape(*bias.shape, *[1] * (sums.dim() - 2))


def windows(x: Tensor, window: Window, fill: float | int) -> Tensor:
    """Return every window of x, (batch, channels, *positions, *kernel), as a view of padded x."""
    sizes = tuple(x.shape[2:])
    counts = window.output_sizes(sizes)
    pads = (*window.begins(), *window.reach(sizes))
    x = functional.pad(x, torch_pads(pads), value=fill) if any(pads) else x
    for axis in range(window.axes):
        x = x.unfold(2 + axis, window.spans()[axis], window.strides[axis])
        x = x.narrow(2 + axis, 0, counts[axis])[..., :: window.dilations[axis]]
    return x
