"""Batch norm, per-channel scale and offset, dropout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor


def batch_norm(attributes: Mapping[str, Any], inputs: Sequence[Tensor], training: bool) -> Tensor:
    """Normalise per channel; in training by the batch, whose statistics update the running ones."""
    x, gamma, beta, mean, variance = inputs
    momentum = float(attributes.get("momentum", 0.1))
    epsilon = float(attributes["epsilon"])
    return F.batch_norm(x, mean, variance, gamma, beta, training, momentum, epsilon)


def scale_offset(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:  # noqa: ARG001
    """Return x · scale + offset per channel."""
    x, scale, offset = inputs
    shape = (-1, *(1,) * (x.dim() - 2))
    return x * scale.reshape(shape) + offset.reshape(shape)


def dropout(attributes: Mapping[str, Any], inputs: Sequence[Tensor], training: bool) -> Tensor:
    """Zero values at random in training (whole channels if so stated), else return the input."""
    (x,), p = inputs, float(attributes.get("p", 0.5))
    if attributes.get("whole_channels", False) and x.dim() > 2:
        return F.dropout1d(x.flatten(2), p, training).reshape(x.shape)
    return F.dropout(x, p, training)
