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

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_AXES = {torch.conv1d: 1, torch.conv2d: 2, torch.conv3d: 3}
_NAMES = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_DEFAULTS = {"bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
#: Keeps a division by the size of weights that are all zero finite.
_TINY = 1e-300


class StandIns(TorchFunctionMode):
    """While active, float64 convolutions of chosen tensors compute the stand-in.

    While a graph is recorded, what does not depend on the network's input must keep its value: it
    becomes a constant of the graph, whatever its size (``conv(torch.ones_like(x))``). A proof may
    replace more than the recording did: then both differ, and the real convolutions decide.

    Args:
        replaces: Whether the convolution of this tensor is replaced.
    """

    def __init__(self, replaces: Callable[[Tensor], bool]) -> None:
        super().__init__()
        self._replaces = replaces

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # fmt: skip
        kwargs = kwargs or {}
        axes = _AXES.get(func)
        if axes is None:
            return func(*args, **kwargs)
        values = {**_DEFAULTS, **dict(zip(_NAMES, args)), **kwargs}
        if not _is_plain(values, axes) or not self._replaces(values["input"]):
            return func(*args, **kwargs)
        try:
            shape = func(**{name: _without_values(value) for name, value in values.items()}).shape
        except RuntimeError:
            # It does not fit; the real one says why in words that users know.
            return func(*args, **kwargs)
        return _stand_in(values, tuple(shape), axes)


def _is_plain(values: dict[str, Any], axes: int) -> bool:
    tensors = [values.get("input"), values.get("weight")]
    tensors += [values["bias"]] if values["bias"] is not None else []
    return tensors[0] is not None and tensors[0].dim() == axes + 2 and all(
        isinstance(t, Tensor) and t.dtype is torch.float64 and t.device.type == "cpu"
        for t in tensors
    )  # fmt: skip


def _without_values(value: Any) -> Any:
    return value.detach().to("meta") if isinstance(value, Tensor) else value


def _stand_in(values: dict[str, Any], shape: Sequence[int], axes: int) -> Tensor:
    """Return two numbers per place, from all channels, times two per filter, and the bias.

    With a single one all channels would be multiples of each other, and a normalization over the
    channels would hide what comes before. Numbers are of about the size of the input's values, so
    that signals neither die out nor grow over many layers.
    """
    x, weight, bias = values["input"], values["weight"].detach(), values["bias"]
    reading, writing = _reduced(weight, int(values["groups"]))
    places = torch.matmul(reading, x.detach().flatten(2)).reshape(len(x), 2, *x.shape[2:])
    # Strides leave places out; their mean, weighted place by place, takes part in all others.
    weights = _numbers(places[0, 0].numel(), 3).reshape(places.shape[2:])
    whole = (places * weights).flatten(2).mean(dim=2).reshape(-1, 2, *(1,) * axes)
    for axis, size in enumerate(shape[2:], start=2):
        index = torch.arange(size) * places.shape[axis] // size
        places = places if size == places.shape[axis] else places.index_select(axis, index)
    signal = (places + whole).flatten(2)
    result = torch.matmul(writing * _settings(values, axes), signal).reshape(tuple(shape))
    return result if bias is None else result.add_(bias.detach().reshape(-1, *(1,) * axes))


def _reduced(weight: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Return two numbers per input channel (2, inputs) and two per filter (filters, 2)."""
    taps = torch.matmul(weight.flatten(2), _numbers(weight[0, 0].numel(), 0))
    filters, inputs = taps.shape
    parts = taps.reshape(groups, filters // groups, inputs)
    shares = _numbers(2 * filters, 1).reshape(2, groups, -1)
    reading = torch.einsum("goi,kgo->kgi", parts, shares).flatten(1)
    mixed = torch.matmul(taps, _numbers(2 * inputs, 2).reshape(inputs, 2))
    # The sign of all weights cancels in a product of two sums of them: fixed numbers keep it.
    writing = _sized(mixed * _numbers(2 * filters, 4).reshape(filters, 2))
    writing = _sized(writing + _numbers(2 * filters, 5).reshape(filters, 2))
    size = reading.norm()
    return reading / size.clamp_min(_TINY), writing * (1.0 + torch.log1p(size) / 10)


def _sized(values: Tensor) -> Tensor:
    """Return values with a mean square of 1."""
    return values / values.square().mean().sqrt().clamp_min(_TINY)


def _settings(values: dict[str, Any], axes: int) -> float:
    """Return a number between 1 and 2 that stride, padding, dilation and groups decide."""
    parts: list[Any] = [axes, int(values["groups"]), tuple(values["weight"].shape)]
    for name in ("stride", "padding", "dilation"):
        given = values[name]
        is_row = isinstance(given, list | tuple)
        listed = [int(v) for v in given] if is_row else [given] * axes
        parts.append(listed * axes if is_row and len(listed) == 1 else listed)
    return 1.0 + zlib.crc32(repr(parts).encode()) / 2**32


def _numbers(count: int, kind: int) -> Tensor:
    """Return fixed numbers between 0.5 and 1.5 without any order."""
    steps = torch.arange(1, count + 1, dtype=torch.float64)
    return 0.5 + torch.frac(steps * (0.6180339887498949 + 0.1 * kind))
