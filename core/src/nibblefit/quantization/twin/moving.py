"""Operators that move or interpolate values, on integer-valued tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import floor

import torch
from torch import Tensor
from torch.nn import functional

from nibblefit.fixed.operators import resize
from nibblefit.ir.graph import Attributes
from nibblefit.ir.ops import Op
from nibblefit.quantization.twin.sums import torch_pads


def _cut(attributes: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    x, axes = inputs[0], attributes["axes"]
    strides = attributes.get("strides") or (1,) * len(axes)
    for axis, start, end, stride in zip(
        axes, attributes["starts"], attributes["ends"], strides, strict=True
    ):
        kept = range(x.shape[axis])[start:end:stride]
        x = x.index_select(axis, torch.tensor(list(kept), dtype=torch.int64, device=x.device))
    return x


def _pad(attributes: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    return functional.pad(
        inputs[0], torch_pads(attributes["pads"]), value=attributes.get("value", 0)
    )


def _pixel_shuffle(attributes: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    x, factor = inputs[0], attributes["factor"]
    if attributes.get("order", "crd") == "dcr":
        n, c, h, w = x.shape
        blocks = x.reshape(n, factor * factor, c // factor**2, h, w)
        x = blocks.transpose(1, 2).reshape(n, c, h, w)
    return functional.pixel_shuffle(x, factor)


def _resize_nearest(attributes: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    x, mode = inputs[0], attributes.get("nearest_mode", "floor")
    for axis, size in enumerate(attributes["sizes"], start=2):
        places = resize.positions(x.shape[axis], size, attributes["coordinates"])
        nearest = [min(max(_NEAREST[mode](p), 0), x.shape[axis] - 1) for p in places]
        x = x.index_select(axis, torch.tensor(nearest, device=x.device))
    return x


_HALF = Fraction(1, 2)
_NEAREST: Mapping[str, Callable[[Fraction], int]] = {
    "floor": floor,
    "ceil": lambda p: -floor(-p),
    "round_prefer_floor": lambda p: -floor(_HALF - p),
    "round_prefer_ceil": lambda p: floor(p + _HALF),
}


def _resize_bilinear(attributes: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    """Interpolate axis by axis with a matrix of exact integer weights, two per row."""
    x, one = inputs[0], 1 << attributes["weight_bits"]
    for axis, size in enumerate(attributes["sizes"], start=2):
        matrix = _weights(x.shape[axis], size, attributes["coordinates"], one)
        x = torch.movedim(torch.matmul(torch.movedim(x, axis, -1), matrix.to(x).T), -1, axis)
    return x


def _weights(size: int, size_out: int, coordinates: str, one: int) -> Tensor:
    matrix = torch.zeros(size_out, size, dtype=torch.int64)
    for row, place in enumerate(resize.positions(size, size_out, coordinates)):
        clamped = min(max(place, Fraction(0)), Fraction(size - 1))
        low = floor(clamped)
        upper = floor((clamped - low) * one + _HALF)
        matrix[row, low] += one - upper
        matrix[row, min(low + 1, size - 1)] += upper
    return matrix


FORMULAS: Mapping[Op, Callable[[Attributes, Sequence[Tensor]], Tensor | tuple[Tensor, ...]]] = {
    Op.CONCAT: lambda a, i: torch.cat(list(i), dim=a["axis"]),
    Op.SLICE: _cut,
    Op.SPLIT: lambda a, i: torch.split(i[0], list(a["sizes"]), dim=a["axis"]),
    Op.PAD: _pad,
    Op.RESIZE_NEAREST: _resize_nearest,
    Op.RESIZE_BILINEAR: _resize_bilinear,
    Op.PIXEL_SHUFFLE: _pixel_shuffle,
    Op.FLATTEN: lambda a, i: i[0].flatten(a.get("start_axis", 1)),
    Op.RESHAPE: lambda a, i: i[0].reshape(i[0].shape[0], *a["shape"]),
    Op.TRANSPOSE: lambda a, i: i[0].permute(tuple(a["perm"])),
    Op.IDENTITY: lambda _, i: i[0],
}
