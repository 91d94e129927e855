"""Reshaping, transposing, pixel shuffles and expansion."""

# Handlers have the argument names and the argument order of torch.
# ruff: noqa: A002

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from nibblefit.ir.ops import Op
from nibblefit.nn.capture.call import Call, Handler
from nibblefit.nn.problems import Refused
from nibblefit.nn.reshaping import reshaping


def _reshape(call: Call, input: Tensor, *_: Any, **__: Any) -> str:
    """Say any change of shape by its result: view, flatten, squeeze, unflatten."""
    x, after = call.activation(input), tuple(call.result.shape)
    before = tuple(input.shape)
    if after == before:
        return x
    if not after or after[0] != before[0]:
        raise Refused(
            f"it turns {before} into {after} and mixes the batch axis with others",
            "keep axis 0: flatten(1), or view(x.size(0), -1)",
        )
    op, attributes = reshaping(before[1:], after[1:])
    return call.add(op, [x], **attributes)


def _permuted(call: Call, x: Tensor, order: Sequence[int]) -> str:
    perm = tuple(axis % x.dim() for axis in order)
    if perm[0] != 0:
        raise Refused("it moves the batch axis", "keep axis 0 in place")
    name = call.activation(x)
    if perm == tuple(range(x.dim())):
        return name
    return call.add(Op.TRANSPOSE, [name], perm=perm)


def _permute(call: Call, input: Tensor, *dims: Any, **named: Any) -> str:
    order = named.get("dims", dims[0] if dims and not isinstance(dims[0], int) else dims)
    return _permuted(call, input, [int(axis) for axis in order])


def _transpose(call: Call, input: Tensor, dim0: int, dim1: int) -> str:
    order = list(range(input.dim()))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return _permuted(call, input, order)


def _movedim(call: Call, input: Tensor, source: Any, destination: Any) -> str:
    sources, places = ([v] if isinstance(v, int) else list(v) for v in (source, destination))
    rank = input.dim()
    taken = {p % rank: s % rank for s, p in zip(sources, places)}
    rest = iter(axis for axis in range(rank) if axis not in taken.values())
    return _permuted(call, input, [taken[i] if i in taken else next(rest) for i in range(rank)])


def _all_turned(call: Call, input: Tensor) -> str:
    return _permuted(call, input, list(reversed(range(input.dim()))))


def _matrix_turned(call: Call, input: Tensor) -> str:
    return _transpose(call, input, -2, -1)


def _expand(call: Call, input: Tensor, *_: Any, **__: Any) -> str:
    """Keep the small activation: elementwise operators broadcast it by themselves."""
    if call.result.dim() != input.dim():
        raise Refused("it adds axes by expanding", "unsqueeze first")
    return call.activation(input)


def _pixel_shuffle(call: Call, input: Tensor, upscale_factor: int) -> str:
    x = call.activation(input)
    return call.add(Op.PIXEL_SHUFFLE, [x], factor=int(upscale_factor), order="crd")


def _pixel_unshuffle(call: Call, input: Tensor, downscale_factor: int) -> str:
    x, factor = call.activation(input), int(downscale_factor)
    channels, height, width = call.shape(x)
    blocks = (channels, height // factor, factor, width // factor, factor)
    split = call.add(Op.RESHAPE, [x], part="blocks", shape=blocks)
    turned = call.add(Op.TRANSPOSE, [split], part="turned", perm=(0, 1, 3, 5, 2, 4))
    return call.add(Op.RESHAPE, [turned], shape=tuple(call.result.shape[1:]))


def _channel_shuffle(call: Call, input: Tensor, groups: int) -> str:
    x = call.activation(input)
    channels, *spatial = call.shape(x)
    split = call.add(Op.RESHAPE, [x], part="groups", shape=(groups, channels // groups, *spatial))
    perm = (0, 2, 1, *range(3, 3 + len(spatial)))
    turned = call.add(Op.TRANSPOSE, [split], part="turned", perm=perm)
    return call.add(Op.RESHAPE, [turned], shape=(channels, *spatial))


HANDLERS: Mapping[str, Handler] = {
    "reshape": _reshape,
    "permute": _permute,
    "transpose": _transpose,
    "movedim": _movedim,
    "t": _all_turned,
    ".T": _all_turned,
    ".mT": _matrix_turned,
    "expand": _expand,
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
    "channel_shuffle": _channel_shuffle,
}
