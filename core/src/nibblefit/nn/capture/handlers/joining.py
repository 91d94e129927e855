"""Concatenation, stacking, splitting and padding."""

# Handlers have the argument names and the argument order of torch.
# ruff: noqa: A002, ARG001

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from nibblefit.ir.ops import Op
from nibblefit.nn.capture.call import Call, Handler
from nibblefit.nn.problems import Refused


def _cat(call: Call, tensors: Sequence[Tensor], dim: int = 0, **named: Any) -> str:
    axis = call.axis(tensors[0], named.get("axis", dim))
    if all(call.is_activation(t) for t in tensors):
        names = [call.activation(t) for t in tensors]
        return names[0] if len(names) == 1 else call.add(Op.CONCAT, names, axis=axis)
    return _padded_cat(call, tensors, axis)


def _padded_cat(call: Call, tensors: Sequence[Tensor], axis: int) -> str:
    """Say concatenation with zeros on either side as padding."""
    places = [i for i, t in enumerate(tensors) if call.is_activation(t)]
    zeros = [t for t in tensors if not call.is_activation(t)]
    if len(places) != 1 or any(bool((t != 0).any()) for t in zeros):
        raise Refused("it joins activations with constants", "only zeros can be joined, as padding")
    x = tensors[places[0]]
    begins, ends = [0] * (x.dim() - 1), [0] * (x.dim() - 1)
    begins[axis - 1] = sum(t.shape[axis] for t in tensors[: places[0]])
    ends[axis - 1] = sum(t.shape[axis] for t in tensors[places[0] + 1 :])
    return call.add(Op.PAD, [call.activation(x)], pads=(*begins, *ends), value=0.0)


def _stack(call: Call, tensors: Sequence[Tensor], dim: int = 0) -> str:
    axis = call.axis(tensors[0], dim, rank=tensors[0].dim() + 1)
    wide = list(call.result.shape[1:])
    wide[axis - 1] = 1
    parts = [
        call.add(Op.RESHAPE, [call.activation(t)], part="part", shape=tuple(wide)) for t in tensors
    ]
    return call.add(Op.CONCAT, parts, axis=axis)


def _split(
    call: Call, input: Tensor, pieces: Any = None, dim: int = 0, **_: Any
) -> Sequence[str]:  # fmt: skip
    axis = call.axis(input, dim)
    x = call.activation(input)
    if len(call.result) == 1:
        return (x,)
    return call.add_split(x, axis, [piece.shape[axis] for piece in call.result])


def _unbind(call: Call, input: Tensor, dim: int = 0) -> Sequence[str]:
    axis = call.axis(input, dim)
    x, count = call.activation(input), input.shape[axis]
    slices = call.add_split(x, axis, [1] * count) if count > 1 else (x,)
    shape = tuple(call.result[0].shape[1:])
    return [call.add(Op.RESHAPE, [name], part="part", shape=shape) for name in slices]


def _pad(
    call: Call, input: Tensor, pad: Sequence[int], mode: str = "constant",
    value: float | None = None,
) -> str:  # fmt: skip
    amounts = [int(n) for n in pad]
    x = call.activation(input)
    if not any(amounts):
        return x
    if mode != "constant":
        raise Refused(f"padding by '{mode}' has no operator", "pad with zeros (mode='constant')")
    rank = input.dim()
    begins, ends = [0] * rank, [0] * rank
    for place in range(len(amounts) // 2):
        begins[rank - 1 - place] = amounts[2 * place]
        ends[rank - 1 - place] = amounts[2 * place + 1]
    if begins[0] or ends[0]:
        raise Refused("it pads the batch axis", "pad the other axes only")
    x = _cropped(call, x, begins, ends)
    pads = (*(max(n, 0) for n in begins[1:]), *(max(n, 0) for n in ends[1:]))
    if not any(pads):
        return x
    return call.add(Op.PAD, [x], pads=pads, value=float(value or 0.0))


def _cropped(call: Call, x: str, begins: Sequence[int], ends: Sequence[int]) -> str:
    """Say negative padding as a slice."""
    axes = [a for a in range(1, len(begins)) if begins[a] < 0 or ends[a] < 0]
    if not axes:
        return x
    starts = tuple(max(-begins[a], 0) for a in axes)
    stops = tuple(call.shape(x)[a - 1] + min(ends[a], 0) for a in axes)
    return call.add(Op.SLICE, [x], part="crop", axes=tuple(axes), starts=starts, ends=stops,
                    strides=(1,) * len(axes))  # fmt: skip


HANDLERS: Mapping[str, Handler] = {
    "cat": _cat,
    "stack": _stack,
    "split": _split,
    "unbind": _unbind,
    "pad": _pad,
}
