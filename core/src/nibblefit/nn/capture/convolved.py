"""The arguments of a convolution, and the shape of its result without computing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

#: Spatial axes of torch's convolutions.
AXES: Mapping[Callable[..., Any], int] = {torch.conv1d: 1, torch.conv2d: 2, torch.conv3d: 3}
_NAMES = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_DEFAULTS = {"bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}


def arguments_of(args: Any, kwargs: Any) -> dict[str, Any]:
    """Return all arguments of a convolution by name, as far as they are given."""
    return {**_DEFAULTS, **dict(zip(_NAMES, args)), **kwargs}


def per_axis(value: Any, axes: int) -> tuple[int, ...]:
    """Return an integer for each axis."""
    if isinstance(value, int):
        return (value,) * axes
    values = tuple(int(one) for one in value)
    return values * axes if len(values) == 1 else values


def padding_of(values: Mapping[str, Any], axes: int) -> tuple[int, ...] | None:
    """Return the padding at either end of each axis; None where the ends differ."""
    padding = values["padding"]
    if not isinstance(padding, str):
        return per_axis(padding, axes)
    if padding == "valid":
        return (0,) * axes
    if padding != "same" or set(per_axis(values["stride"], axes)) != {1}:
        return None
    spans = [
        dilate * (taps - 1)
        for taps, dilate in zip(values["weight"].shape[2:], per_axis(values["dilation"], axes))
    ]
    return None if any(span % 2 for span in spans) else tuple(span // 2 for span in spans)


def shape_of(values: Mapping[str, Any], axes: int) -> tuple[int, ...] | None:
    """Return the shape of a result, None where torch has to say it, or what does not fit."""
    x, weight, bias = values.get("input"), values.get("weight"), values["bias"]
    if not isinstance(x, Tensor) or not isinstance(weight, Tensor):
        return None
    if not x.dim() == weight.dim() == axes + 2:
        return None
    stride, dilation = per_axis(values["stride"], axes), per_axis(values["dilation"], axes)
    padding = padding_of(values, axes)
    if padding is None:
        return None
    (batch, channels, *sizes), (filters, per_group, *kernel) = x.shape, weight.shape
    groups = int(values["groups"])
    if channels != per_group * groups or filters % groups:
        return None
    if bias is not None and tuple(bias.shape) != (filters,):
        return None
    made = tuple(
        (size + 2 * pad - dilate * (taps - 1) - 1) // step + 1
        for size, taps, step, pad, dilate in zip(
            sizes, kernel, stride, padding, dilation, strict=True
        )
    )
    return (batch, filters, *made) if min(made) > 0 else None
