"""Operators that only move values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor

from nibblefit.nn.execute.padding import pad_spatial


def slices(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Take start:end:stride of the listed axes."""
    (x,) = inputs
    axes, starts, ends = attributes["axes"], attributes["starts"], attributes["ends"]
    strides = attributes.get("strides") or (1,) * len(axes)
    for axis, start, end, stride in zip(axes, starts, ends, strides):
        if stride > 0:
            index = [slice(None)] * x.dim()
            index[axis] = slice(start, end, stride)
            x = x[tuple(index)]
        else:
            picked = range(*slice(start, end, stride).indices(x.shape[axis]))
            x = x.index_select(axis, torch.tensor(list(picked), device=x.device))
    return x


def split(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Cut one axis into pieces of the stated sizes."""
    return tuple(torch.split(inputs[0], list(attributes["sizes"]), int(attributes["axis"])))


def pad(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Surround all axes but the batch axis with a value."""
    (x,), pads = inputs, attributes["pads"]
    axes = len(pads) // 2
    return pad_spatial(x, pads[:axes], pads[axes:], float(attributes.get("value", 0.0)))


def flatten(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Join all axes from `start_axis` on into one, a new one of size 1 if there is none."""
    (x,), start = inputs, int(attributes.get("start_axis", 1))
    return x.flatten(start) if start < x.dim() else x.unsqueeze(-1)


def reshape(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Give another shape to each sample."""
    return inputs[0].reshape(inputs[0].shape[0], *attributes["shape"])


def transpose(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Order the axes anew."""
    return inputs[0].permute(tuple(attributes["perm"]))


def pixel_shuffle(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Move channels into blocks of factor × factor pixels."""
    (x,), factor = inputs, int(attributes["factor"])
    if attributes.get("order", "crd") == "crd":
        return F.pixel_shuffle(x, factor)
    batch, channels, height, width = x.shape
    depth = channels // factor**2
    x = x.reshape(batch, factor, factor, depth, height, width).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(batch, depth, height * factor, width * factor)


def identity(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:  # noqa: ARG001
    """Return the input."""
    return inputs[0]
