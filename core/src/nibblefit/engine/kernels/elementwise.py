"""Operators that combine tensors element by element, and the matrix product."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from nibblefit.engine.fused_addition import fused_addition
from nibblefit.engine.ranges import (
    FLOAT32_EXACT,
    FLOAT64_EXACT,
    Range,
    UnprovableError,
    corners,
    hull,
)
from nibblefit.engine.task import Kernel, Operand, Prepare, Task, whole
from nibblefit.engine.weighted import NotApplicableError
from nibblefit.ir.ops import Op

_TENSOR: dict[Op, Callable[..., Tensor]] = {
    Op.ADD: torch.add,
    Op.SUB: torch.sub,
    Op.MUL: torch.mul,
    Op.OR: torch.bitwise_or,
    Op.XOR: torch.bitwise_xor,
}
_EXACT: dict[Op, Callable[[int, int], int]] = {
    Op.ADD: lambda a, b: a + b,
    Op.SUB: lambda a, b: a - b,
    Op.MUL: lambda a, b: a * b,
}


def build_combination(task: Task) -> Kernel:
    """Return add, sub, mul, or, xor of two or more operands, left to right."""
    totals = _partial_ranges(task)
    raw = whole(totals[-1])
    dtype = task.working(raw, *map(whole, totals), *(o.values for o in task.operands))
    rank = max(len(o.shape) for o in task.operands) + 1
    fetches = [_raised(operand, dtype, rank) for operand in task.operands]
    operation = _TENSOR[task.op]
    variable = [o.constant is None for o in task.operands]
    constants = [
        None if o.constant is None else _with_rank(o.tensor(dtype), rank) for o in task.operands
    ]
    if not any(variable):
        raise UnprovableError("all operands are constants")
    overwrites = variable[0] and task.x.is_fresh(dtype) and _covers(task)

    def call(*tensors: Tensor) -> tuple[Tensor]:
        arrived = iter(tensors)
        values = [
            fetch(next(arrived)) if constant is None else constant
            for fetch, constant in zip(fetches, constants, strict=True)
        ]
        total = operation(values[0], values[1], out=values[0] if overwrites else None)
        return (reduce(operation, values[2:], total),)

    plain = Kernel(call, raw, f"torch {_words(dtype)}", "integer arithmetic", raw.magnitude)
    if task.op is not Op.ADD or task.device.type != "cpu" or task.forbidden(raw):
        return plain
    try:
        return fused_addition(task, plain)
    except NotApplicableError as why:
        return plain.explained([str(why)])


def _words(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _covers(task: Task) -> bool:
    """Return whether the first operand has the shape of the first two combined."""
    first, second = task.operands[:2]
    return np.broadcast_shapes(first.shape, second.shape) == tuple(first.shape)


def _partial_ranges(task: Task) -> list[Range]:
    ranges = [operand.values for operand in task.operands]
    if task.op in _EXACT:
        return list(accumulate(ranges, partial(corners, _EXACT[task.op])))
    return list(accumulate(ranges, _bitwise))


def _bitwise(a: Range, b: Range) -> Range:
    """Return the range of or / xor: as many bits as the wider operand, signed if one is."""
    bits = max(_width(a), _width(b))
    return Range(-(1 << bits) if min(a.lo, b.lo) < 0 else 0, (1 << bits) - 1)


def _width(values: Range) -> int:
    return max(values.hi.bit_length(), (~values.lo).bit_length() if values.lo < 0 else 0)


def _raised(operand: Operand, dtype: torch.dtype, rank: int) -> Prepare:
    fetch = operand.fetch(dtype)
    if len(operand.shape) + 1 == rank:
        return fetch
    return lambda tensor: _with_rank(fetch(tensor), rank)


def _with_rank(tensor: Tensor, rank: int) -> Tensor:
    """Insert axes of one behind the batch axis: broadcasting sets the batch axis aside."""
    return tensor.reshape(tensor.shape[0], *(1,) * (rank - tensor.ndim), *tensor.shape[1:])


def build_matmul(task: Task) -> Kernel:
    """Return the matrix product in the cheapest type that holds every partial sum."""
    a, b = task.operands
    depth = a.shape[-1]
    product = corners(lambda x, y: x * y, a.values, b.values)
    raw = whole(Range(min(depth * product.lo, 0), max(depth * product.hi, 0)))
    bound = raw.magnitude
    dtype = (
        torch.float32 if bound <= FLOAT32_EXACT
        else torch.float64 if bound <= FLOAT64_EXACT
        else torch.int64
    )  # fmt: skip
    wide = [working.fetch(torch.int64) if working.steps else (lambda t: t) for working in (a, b)]
    known = [None if o.constant is None else o.tensor(dtype) for o in (a, b)]
    rank = max(len(a.shape), len(b.shape)) + 1

    def call(*tensors: Tensor) -> tuple[Tensor]:
        arrived = iter(tensors)
        left, right = (
            fetch(next(arrived)).to(dtype) if constant is None else constant
            for fetch, constant in zip(wide, known, strict=True)
        )
        if left.ndim == 2:  # a vector per image is one row, dropped again afterwards
            row = left.reshape(left.shape[0], *(1,) * (right.ndim - 2), left.shape[1])
            return (torch.matmul(row, right)[..., 0, :],)
        return (torch.matmul(_with_rank(left, rank), _with_rank(right, rank)),)

    return Kernel(call, raw, f"torch {_words(dtype)} matmul", f"sums of at most {bound}", bound,
                  is_float=dtype.is_floating_point)  # fmt: skip


def build_scale_offset(task: Task) -> Kernel:
    """Return ``x · scale + offset`` per channel."""
    x, scale, offset = task.operands
    if x.constant is not None or scale.constant is None or offset.constant is None:
        raise UnprovableError("scale and offset must be constants")
    scaled = corners(lambda a, b: a * b, x.values, scale.values)
    raw = whole(corners(lambda a, b: a + b, scaled, offset.values))
    dtype = task.working(raw, whole(scaled), x.values, scale.values, offset.values)
    fetch, ones = x.fetch(dtype), (1,) * (len(x.shape) - 1)
    factor, addend = (o.tensor(dtype).reshape(-1, *ones) for o in (scale, offset))
    return Kernel(lambda t: (torch.mul(fetch(t), factor).add_(addend),), raw,
                  f"torch {_words(dtype)}", "integer arithmetic",
                  hull((raw, scaled)).magnitude)  # fmt: skip
