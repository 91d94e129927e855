"""Activation functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor


def relu(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:  # noqa: ARG001
    """Return max(x, 0)."""
    return F.relu(inputs[0])


def clip(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Return x limited to lo … hi; None leaves a side open."""
    lo, hi = attributes["lo"], attributes["hi"]
    return inputs[0] if lo is None and hi is None else inputs[0].clamp(lo, hi)


def leaky_relu(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Return x, times the slope where it is negative."""
    return F.leaky_relu(inputs[0], float(attributes["slope"]))


def prelu(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:  # noqa: ARG001
    """Return x, times its channel's slope where it is negative."""
    return F.prelu(inputs[0], inputs[1])


def absolute(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:  # noqa: ARG001
    """Return |x|."""
    return inputs[0].abs()


def hard_sigmoid(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Return clip(alpha · x + beta, 0, 1)."""
    alpha, beta = attributes.get("alpha", 1 / 6), attributes.get("beta", 0.5)
    return (inputs[0] * float(alpha) + float(beta)).clamp(0, 1)


def hard_swish(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:  # noqa: ARG001
    """Return x · clip(x / 6 + 1/2, 0, 1)."""
    return F.hardswish(inputs[0])


def sigmoid(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:  # noqa: ARG001
    """Return 1 / (1 + e^−x)."""
    return torch.sigmoid(inputs[0])


def tanh(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:  # noqa: ARG001
    """Return the hyperbolic tangent."""
    return torch.tanh(inputs[0])


def softmax(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Return e^x over its sum along one axis."""
    return torch.softmax(inputs[0], int(attributes["axis"]))


def argmax(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Return the index of the first largest value, as a float like every other tensor."""
    (x,) = inputs
    axis, keepdims = int(attributes["axis"]), bool(attributes.get("keepdims", False))
    # torch.argmax does not promise the first of equals; the first maximum is where the count of
    # maxima seen so far is still one.
    hits = x == x.amax(axis, keepdim=True)
    first = hits & (hits.cumsum(axis) == 1)
    shape = [1] * x.dim()
    shape[axis] = -1
    index = torch.arange(x.shape[axis], device=x.device).reshape(shape)
    return (first * index).sum(axis, keepdim=keepdims).to(x.dtype)
