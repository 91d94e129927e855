"""Convolutions replaced by a cheap function of the same arguments while a capture is proved.

A graph is the module if both compute the same *whatever a convolution computes*: then they apply it
to the same arguments in the same order. So recording and proof run with a stand-in that costs no
more than an activation, in place of convolutions that take nearly all of the time. The stand-in
depends on every input value, every weight and every setting; two networks that agree under it on
random numbers and differ with real convolutions would have to agree by accident. Networks that
disagree under it may still be equal, as convolutions have properties of their own: then the real
ones decide (see `entry.capture`).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from nibblefit.nn.capture.convolved import AXES, arguments_of, padding_of, per_axis, shape_of
from nibblefit.nn.capture.kept import Kept

#: Keeps a division by the size of weights that are all zero finite.
_TINY = 1e-300
#: Most numbers of a kind that are kept for the next convolution: 64 KiB.
_REMEMBERED = 8192


class StandIns(TorchFunctionMode):
    """While active, float64 convolutions of chosen tensors compute the stand-in.

    While a graph is recorded, what does not depend on the network's input must keep its value: it
    becomes a constant of the graph, whatever its size (``conv(torch.ones_like(x))``). A proof may
    replace more than the recording did: then both differ, and the real convolutions decide.

    Args:
        replaces: Whether the convolution of this tensor is replaced.
        kept: Weights that stay in float32; all functions but stand-ins get them in float64.
        known: What `taps_of` gave for weights, by their identity, where that is to count.
    """

    def __init__(
        self, replaces: Callable[[Tensor], bool], kept: Kept | None = None,
        known: Mapping[int, Tensor] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._replaces = replaces
        self._kept = kept or Kept()
        self._known = known or {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # fmt: skip
        return self.evaluate(func, args, kwargs or {})

    def evaluate(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Compute a call, or what stands in for it."""
        axes = AXES.get(func)
        if axes is not None:
            values = arguments_of(args, kwargs)
            if self._is_plain(values, axes) and self._replaces(values["input"]):
                # One that does not fit is computed: it says why in words that users know.
                shape = shape_of(values, axes)
                if shape is not None:
                    weight = values["weight"]
                    taps = self._known.get(id(weight))
                    return _stand_in(values, taps_of(weight) if taps is None else taps, shape, axes)
        args, kwargs = self._kept.widened(func, args, kwargs)
        return func(*args, **kwargs)

    def _is_plain(self, values: dict[str, Any], axes: int) -> bool:
        x, weight, bias = values.get("input"), values.get("weight"), values["bias"]
        return (
            isinstance(x, Tensor) and _is_float64(x) and x.dim() == axes + 2
            and (bias is None or _is_float64(bias))
            and (_is_float64(weight) or (isinstance(weight, Tensor) and weight in self._kept))
        )  # fmt: skip


def _is_float64(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype is torch.float64 and value.device.type == "cpu"


def taps_of(weight: Tensor) -> Tensor:
    """Return one number for each input of each filter, from all its taps."""
    weight = weight.detach()
    return torch.matmul(weight.flatten(2), _numbers(weight[0, 0].numel(), 0, weight.dtype))


def _stand_in(
    values: dict[str, Any], taps: Tensor, shape: Sequence[int], axes: int
) -> Tensor:  # fmt: skip
    """Return two numbers per place, from all channels, times two per filter, and the bias.

    With a single one all channels would be multiples of each other, and a normalization over the
    channels would hide what comes before. Numbers are of about the size of the input's values, so
    that signals neither die out nor grow over many layers.
    """
    x, bias = values["input"].detach(), values["bias"]
    reading, writing = _reduced(taps, int(values["groups"]), _settings(values, axes))
    flat = torch.matmul(reading, x.flatten(2))
    # Strides leave places out; their mean, weighted place by place, takes part in all others.
    count = flat.shape[2]
    whole = torch.matmul(flat, _numbers(count, 3)).div_(count)
    places = flat.reshape(len(x), 2, *x.shape[2:])
    for axis, size in enumerate(shape[2:], start=2):
        if size != places.shape[axis]:
            index = torch.arange(size) * places.shape[axis] // size
            places = places.index_select(axis, index)
    signal = places.flatten(2) + whole.unsqueeze(2)
    result = torch.matmul(writing, signal).reshape(tuple(shape))
    return result if bias is None else result.add_(bias.detach().reshape(-1, *(1,) * axes))


def _reduced(taps: Tensor, groups: int, gain: float) -> tuple[Tensor, Tensor]:
    """Return two numbers per input channel (2, inputs) and two per filter (filters, 2)."""
    filters, inputs = taps.shape
    parts = taps.reshape(groups, filters // groups, inputs)
    shares = _numbers(2 * filters, 1, taps.dtype).reshape(2, groups, -1).transpose(0, 1)
    reading = torch.matmul(shares, parts).transpose(0, 1).flatten(1).double()
    mixed = torch.matmul(taps, _numbers(2 * inputs, 2, taps.dtype).reshape(2, inputs).t()).double()
    # The sign of all weights cancels in a product of two sums of them: fixed numbers keep it.
    mixed = mixed * _numbers(2 * filters, 4).reshape(filters, 2)
    fixed = _numbers(2 * filters, 5).reshape(filters, 2)
    writing = torch.add(fixed, mixed, alpha=1.0 / _size(mixed))
    size = _size(reading) * math.sqrt(reading.numel())
    reading.div_(max(size, _TINY))
    return reading, writing.mul_(gain * (1.0 + math.log1p(size) / 10) / _size(writing))


def _size(values: Tensor) -> float:
    """Return the root of the mean square, never 0."""
    norm = float(torch.linalg.vector_norm(values))
    return max(norm / math.sqrt(values.numel()), _TINY)


def _settings(values: dict[str, Any], axes: int) -> float:
    """Return a number between 1 and 2 that stride, padding, dilation and groups decide."""
    parts = [
        axes, int(values["groups"]), tuple(values["weight"].shape),
        per_axis(values["stride"], axes), padding_of(values, axes),
        per_axis(values["dilation"], axes),
    ]  # fmt: skip
    return 1.0 + zlib.crc32(repr(parts).encode()) / 2**32


def _numbers(count: int, kind: int, width: torch.dtype = torch.float64) -> Tensor:
    """Return fixed numbers between 0.5 and 1.5 without any order; they are never written to."""
    make = _remembered if count <= _REMEMBERED else _made
    return make(count, kind, width)


def _made(count: int, kind: int, width: torch.dtype) -> Tensor:
    steps = torch.arange(1, count + 1, dtype=torch.float64)
    return (0.5 + torch.frac(steps * (0.6180339887498949 + 0.1 * kind))).to(width)


_remembered = lru_cache(maxsize=256)(_made)
