"""Convolutions and matrix products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor

from nibblefit.ir.attributes import spatial, window_of
from nibblefit.nn.execute.padding import pad_spatial

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def conv(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Convolve; uneven padding is added first."""
    x, weights = inputs[:2]
    bias = inputs[2] if len(inputs) > 2 else None
    geometry = window_of(attributes, tuple(weights.shape[2:]))
    padding = geometry.begins()
    if padding != geometry.ends():
        x, padding = pad_spatial(x, geometry.begins(), geometry.ends()), (0,) * geometry.axes
    return _CONV[geometry.axes](
        x, weights, bias, geometry.strides, padding, geometry.dilations,
        int(attributes.get("groups", 1)),
    )  # fmt: skip


def conv_transpose(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Convolve transposed; uneven padding crops the full result."""
    x, weights = inputs[:2]
    bias = inputs[2] if len(inputs) > 2 else None
    axes = x.dim() - 2
    pads = spatial(attributes, "pads", 2 * axes, 0)
    strides = spatial(attributes, "strides", axes, 1)
    dilations = spatial(attributes, "dilations", axes, 1)
    extra = spatial(attributes, "output_padding", axes, 0)
    groups = int(attributes.get("groups", 1))
    begins, ends = pads[:axes], pads[axes:]
    run = _CONV_TRANSPOSE[axes]
    if begins == ends:
        return run(x, weights, bias, strides, begins, extra, groups, dilations)
    full = run(x, weights, None, strides, 0, 0, groups, dilations)
    crop = tuple(more - end for more, end in zip(extra, ends))
    y = pad_spatial(full, tuple(-begin for begin in begins), crop)
    return y if bias is None else y + bias.reshape(-1, *(1,) * axes)


def linear(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:  # noqa: ARG001
    """Multiply the last axis by the transposed weights and add the bias."""
    return F.linear(*inputs)


def matmul(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:  # noqa: ARG001
    """Multiply over the last two axes."""
    return torch.matmul(*inputs)
