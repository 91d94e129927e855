"""Operators that move values and never change them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nibblefit.engine.ranges import FLOAT64_EXACT, Range, UnprovableError, hull, storage_type
from nibblefit.engine.task import Kernel, Operand, Task
from nibblefit.fixed.operators.resize import nearest_indices

_REASON = "moves values"


def _variable(task: Task) -> Operand:
    if task.x.constant is not None:
        raise UnprovableError("the input is a constant")
    return task.x


def _mover(task: Task, move: Callable[[Tensor], Tensor]) -> Kernel:
    """Return a kernel that applies the input steps and then moves values."""
    x = _variable(task)
    dtype = x.stored if not x.steps else storage_type(x.values)
    fetch = x.fetch(dtype)
    return Kernel(lambda t: (move(fetch(t)),), x.values, "torch view or copy", _REASON,
                  x.values.magnitude, is_fresh=False)  # fmt: skip


def build_identity(task: Task) -> Kernel:
    """Return the input after its steps; the node's own steps do the work."""
    return _mover(task, lambda x: x)


def build_flatten(task: Task) -> Kernel:
    """Return the axes from ``start_axis`` on joined into one."""
    start = int(task.attributes.get("start_axis", 1))
    return _mover(task, lambda x: x.reshape(*x.shape[:start], -1) if start < x.ndim
                  else x.unsqueeze(-1))  # fmt: skip


def build_reshape(task: Task) -> Kernel:
    """Return another shape behind the batch axis."""
    shape = tuple(task.attributes["shape"])
    return _mover(task, lambda x: x.reshape(x.shape[0], *shape))


def build_transpose(task: Task) -> Kernel:
    """Return reordered axes."""
    perm = tuple(task.attributes["perm"])
    return _mover(task, lambda x: x.permute(perm))


def build_slice(task: Task) -> Kernel:
    """Return ``x[start:end:stride]`` along some axes, negative strides included."""
    a = task.attributes
    strides = a.get("strides") or (1,) * len(a["axes"])
    cuts = list(zip(a["axes"], a["starts"], a["ends"], strides, strict=True))

    def move(x: Tensor) -> Tensor:
        for axis, start, end, stride in cuts:
            x = _cut(x, axis, slice(start, end, stride))
        return x

    return _mover(task, move)


def _cut(x: Tensor, axis: int, cut: slice) -> Tensor:
    start, end, stride = cut.indices(x.shape[axis])
    if stride < 0:  # torch has no negative strides: take the indices themselves
        index = torch.arange(start, end, stride, device=x.device)
        return x.index_select(axis, index)
    whole: list[Any] = [slice(None)] * x.ndim
    whole[axis] = slice(start, end, stride)
    return x[tuple(whole)]


def build_split(task: Task) -> Kernel:
    """Return consecutive parts along an axis."""
    x, sizes, axis = _variable(task), list(task.attributes["sizes"]), int(task.attributes["axis"])
    dtype = x.stored if not x.steps else storage_type(x.values)
    fetch = x.fetch(dtype)
    return Kernel(lambda t: torch.split(fetch(t), sizes, axis), x.values, "torch view", _REASON,
                  x.values.magnitude, is_fresh=False)  # fmt: skip


def build_concat(task: Task) -> Kernel:
    """Return the operands joined along an axis."""
    axis = int(task.attributes["axis"])
    raw = hull(operand.values for operand in task.operands)
    if any(operand.constant is not None for operand in task.operands):
        raise UnprovableError("an operand is a constant")
    dtype = storage_type(raw)
    fetches = [operand.fetch(dtype) for operand in task.operands]

    def call(*tensors: Tensor) -> tuple[Tensor]:
        parts = [fetch(t) for fetch, t in zip(fetches, tensors, strict=True)]
        return (torch.cat(parts, axis),)

    return Kernel(call, raw, "torch cat", _REASON, raw.magnitude)


def build_pad(task: Task) -> Kernel:
    """Return a constant around every axis but the batch."""
    x, pads, value = _variable(task), task.attributes["pads"], int(task.attributes.get("value", 0))
    half = len(pads) // 2
    around = [p for i in reversed(range(half)) for p in (pads[i], pads[half + i])]
    raw = hull((x.values, Range(value, value)))
    if abs(value) > FLOAT64_EXACT:
        raise UnprovableError("torch keeps the padding value in float64")
    dtype = storage_type(raw)
    fetch = x.fetch(dtype)

    def call(tensor: Tensor) -> tuple[Tensor]:
        return (functional.pad(fetch(tensor), around, value=value),)

    return Kernel(call, raw, "torch pad", _REASON,
                  raw.magnitude, is_fresh=any(pads))  # fmt: skip


def build_resize_nearest(task: Task) -> Kernel:
    """Return each output position's neighbour, by the judge's exact indices."""
    a, sizes = task.attributes, _variable(task).shape[1:]
    mode = a.get("nearest_mode", "floor")
    indices = [
        torch.from_numpy(nearest_indices(size, out, a["coordinates"], mode))
        for size, out in zip(sizes, a["sizes"], strict=True)
    ]

    def move(x: Tensor) -> Tensor:
        for axis, index in enumerate(indices, start=2):
            x = x.index_select(axis, index)
        return x

    return _mover(task, move)


def build_pixel_shuffle(task: Task) -> Kernel:
    """Return channels moved into a grid of factor × factor pixels."""
    factor, order = int(task.attributes["factor"]), task.attributes.get("order", "crd")
    channels, height, width = _variable(task).shape
    out = channels // factor**2
    blocks: Sequence[int] = (out, factor, factor) if order == "crd" else (factor, factor, out)
    perm = (0, 1, 4, 2, 5, 3) if order == "crd" else (0, 3, 4, 1, 5, 2)

    def move(x: Tensor) -> Tensor:
        grid = x.reshape(x.shape[0], *blocks, height, width).permute(perm)
        return grid.reshape(x.shape[0], out, height * factor, width * factor)

    return _mover(task, move)
