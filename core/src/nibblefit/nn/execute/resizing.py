"""Nearest and bilinear resizing, separable, by explicit source positions along each axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nibblefit.fixed.formats import FloatArray

_ROUND: dict[str, Callable[[FloatArray], FloatArray]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
}


def source_positions(size: int, wanted: int, coordinates: str) -> FloatArray:
    """Return where each of `wanted` output samples lies in `size` input samples.

    Source: ONNX operator Resize, attribute coordinate_transformation_mode.
    """
    index = np.arange(wanted, dtype=np.float64)
    match coordinates:
        case "asymmetric":
            return index * size / wanted
        case "align_corners":
            return index * (size - 1) / (wanted - 1) if wanted > 1 else index * 0.0
        case "pytorch_half_pixel" if wanted == 1:
            return index * 0.0
        case _:
            return (index + 0.5) * size / wanted - 0.5


def nearest(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Repeat or drop samples."""
    (x,) = inputs
    rounded = _ROUND[attributes.get("nearest_mode", "floor")]
    for axis, wanted in enumerate(attributes["sizes"], start=2):
        size = x.shape[axis]
        places = rounded(source_positions(size, wanted, attributes["coordinates"]))
        picked = np.clip(places, 0, size - 1).astype(np.int64)
        x = x.index_select(axis, torch.from_numpy(picked).to(x.device))
    return x


def bilinear(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Interpolate linearly along each spatial axis; positions beyond the edge use the edge."""
    (x,) = inputs
    for axis, wanted in enumerate(attributes["sizes"], start=2):
        size = x.shape[axis]
        places = source_positions(size, wanted, attributes["coordinates"]).clip(0, size - 1)
        low = np.floor(places).astype(np.int64)
        share = torch.from_numpy(places - low).to(x)
        share = share.reshape(-1, *(1,) * (x.dim() - 1 - axis))
        high = np.minimum(low + 1, size - 1)
        first, second = (torch.from_numpy(i).to(x.device) for i in (low, high))
        x = x.index_select(axis, first) * (1 - share) + x.index_select(axis, second) * share
    return x
