"""Pools: torch's own kernels where they apply, else explicit padding and window sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor

from nibblefit.fixed.geometry import Window
from nibblefit.ir.attributes import window_of
from nibblefit.nn.execute.padding import pad_spatial

_MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVG = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def _is_plain(geometry: Window) -> bool:
    """Return whether torch's pools accept the padding."""
    halves = (p <= k // 2 for p, k in zip(geometry.begins(), geometry.kernel))
    return geometry.begins() == geometry.ends() and all(halves)


def max_pool(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Take the largest value of each window; padding never wins."""
    (x,) = inputs
    geometry = window_of(attributes, tuple(attributes["kernel"]))
    pool = _MAX[geometry.axes]
    if _is_plain(geometry):
        return pool(x, geometry.kernel, geometry.strides, geometry.begins(), geometry.dilations,
                    geometry.ceil_mode)  # fmt: skip
    reach = geometry.reach(tuple(x.shape[2:]))
    x = pad_spatial(x, geometry.begins(), reach, -torch.inf)
    return pool(x, geometry.kernel, geometry.strides, 0, geometry.dilations)


def avg_pool(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Average each window over its samples, declared padding included or not."""
    (x,) = inputs
    geometry = window_of(attributes, tuple(attributes["kernel"]))
    counts_pads = bool(attributes["count_include_pad"])
    if _is_plain(geometry) and max(geometry.dilations) == 1:
        pool = _AVG[geometry.axes]
        return pool(x, geometry.kernel, geometry.strides, geometry.begins(), geometry.ceil_mode,
                    counts_pads)  # fmt: skip
    begins, ends = geometry.begins(), geometry.ends()
    reach = geometry.reach(tuple(x.shape[2:]))
    counted = torch.ones_like(x[:1, :1])
    if counts_pads:
        counted = pad_spatial(counted, begins, ends, 1.0)
        counted = pad_spatial(counted, [0] * len(ends), [r - e for r, e in zip(reach, ends)])
    else:
        counted = pad_spatial(counted, begins, reach)
    return _window_sum(pad_spatial(x, begins, reach), geometry) / _window_sum(counted, geometry)


def _window_sum(x: Tensor, geometry: Window) -> Tensor:
    channels = x.shape[1]
    ones = x.new_ones((channels, 1, *geometry.kernel))
    conv = _CONV[geometry.axes]
    return conv(x, ones, None, geometry.strides, 0, geometry.dilations, channels)


def global_avg_pool(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:  # noqa: ARG001
    """Average over all spatial axes, kept with size 1."""
    (x,) = inputs
    axes = tuple(range(2, x.dim()))
    return x.sum(axes, keepdim=True) / prod(x.shape[2:])


def global_max_pool(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:  # noqa: ARG001
    """Take the maximum over all spatial axes, kept with size 1."""
    (x,) = inputs
    return x.amax(tuple(range(2, x.dim())), keepdim=True)
