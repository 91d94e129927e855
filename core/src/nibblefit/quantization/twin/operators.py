"""Every operator of the quantized graph on integer-valued tensors, differentiable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional

from nibblefit.fixed.formats import Rounding
from nibblefit.ir.attributes import window_of
from nibblefit.ir.graph import Attributes
from nibblefit.ir.ops import Op
from nibblefit.quantization.twin import moving, sums
from nibblefit.quantization.twin.rounding import divide, shift_right
from nibblefit.quantization.twin.steps import apply_steps, table_slope

Formula = Callable[[Attributes, Sequence[Tensor]], Tensor | tuple[Tensor, ...]]


def _max_pool(attributes: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    x = inputs[0]
    window = window_of(attributes, tuple(attributes["kernel"]))
    lowest = -(1 << 62) if x.dtype is torch.int64 else float("-inf")
    return torch.amax(sums.windows(x, window, lowest), dim=_last(window.axes))


def _sum_pool(attributes: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    window = window_of(attributes, tuple(attributes["kernel"]))
    return torch.sum(sums.windows(inputs[0], window, 0), dim=_last(window.axes))


def _last(count: int) -> tuple[int, ...]:
    return tuple(range(-count, 0))


def _spatial(x: Tensor) -> tuple[int, ...]:
    return tuple(range(2, x.dim()))


def _raised(x: Tensor, rank: int) -> Tensor:
    """Return x with axes of size one behind the batch axis: sizes broadcast without it."""
    return x.reshape(x.shape[0], *[1] * (rank - x.dim()), *x.shape[1:])


def _combined(function: Callable[[Tensor, Tensor], Tensor], inputs: Sequence[Tensor]) -> Tensor:
    rank = max(x.dim() for x in inputs)
    return reduce(function, [_raised(x, rank) for x in inputs])


def _elementwise(function: Callable[[Tensor, Tensor], Tensor]) -> Formula:
    return lambda _, inputs: _combined(function, inputs)


def _matmul(_: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    a, b = inputs
    if a.dim() == 2:  # one row per image
        return torch.matmul(_raised(a[:, None, :], b.dim()), b)[..., 0, :]
    rank = max(a.dim(), b.dim())
    return torch.matmul(_raised(a, rank), _raised(b, rank))


def _bitwise(function: Callable[[Tensor, Tensor], Tensor]) -> Formula:
    def formula(_: Attributes, inputs: Sequence[Tensor]) -> Tensor:
        whole = _combined(function, [x.long() for x in inputs]).to(inputs[0].dtype)
        through = _combined(torch.add, inputs)
        # No useful slope exists; the straight-through sum keeps gradients flowing.
        return through + (whole - through).detach() if through.is_floating_point() else whole

    return formula


def _two_sided(attributes: Attributes, x: Tensor, below: Tensor) -> Tensor:
    positive = apply_steps(torch.clamp(x, min=0), attributes.get("positive", ()))
    negative = apply_steps(below, attributes["negative"])
    return torch.where(x >= 0, positive, negative)


def _leaky_relu(attributes: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    return _two_sided(attributes, inputs[0], torch.clamp(inputs[0], max=0))


def _prelu(attributes: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    x, slope = inputs
    return _two_sided(attributes, x, torch.clamp(x, max=0) * _per_channel(slope, x))


def _per_channel(values: Tensor, x: Tensor) -> Tensor:
    return values.reshape(1, -1, *[1] * (x.dim() - 2)) if x.dim() > 1 else values


def _hard_sigmoid(attributes: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    return torch.clamp(inputs[0] + attributes["three"], 0, attributes["six"])


def _hard_swish(attributes: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    gate = apply_steps(_hard_sigmoid(attributes, inputs), attributes.get("gate", ()))
    return inputs[0] * gate


def _table(attributes: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    x, table = inputs
    return look_up(x, table, x.long() - attributes["lowest"])


def look_up(x: Tensor, table: Tensor, index: Tensor) -> Tensor:
    """Return ``table[index]``; its gradient towards x is the table's slope there."""
    found = table[index]
    if not (x.is_floating_point() and x.requires_grad):
        return found
    slope = table_slope(table.detach())[index].to(x.dtype)
    return found + slope * (x - x.detach())


def _softmax(attributes: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    x, table = inputs
    axis, numerator = attributes["axis"], attributes["numerator"]
    distance = torch.amax(x, dim=axis, keepdim=True).detach() - x
    e = look_up(distance, table, distance.long().clamp(max=table.numel() - 1))
    total = e.sum(dim=axis, keepdim=True)
    exact = divide(e.long() * numerator, total.long(), Rounding(attributes["rounding"]))
    if not x.is_floating_point():
        return exact
    smooth: Tensor = e * numerator / total
    return smooth + (exact.to(x.dtype) - smooth).detach()


def _argmax(attributes: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    x, axis = inputs[0], attributes["axis"]
    best = (x == torch.amax(x, dim=axis, keepdim=True)).to(torch.uint8)
    first = torch.argmax(best, dim=axis, keepdim=bool(attributes.get("keepdims", False)))
    return first.to(x.dtype)


def _scale_offset(_: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    x, scale, offset = inputs
    return x * _per_channel(scale, x) + _per_channel(offset, x)


def _clip(attributes: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    lo, hi = attributes["lo"], attributes["hi"]
    return inputs[0] if lo is None and hi is None else torch.clamp(inputs[0], lo, hi)


def _shift_right(attributes: Attributes, inputs: Sequence[Tensor]) -> Tensor:
    x, amount = inputs
    bits = amount.long().reshape(-1, *[1] * (x.dim() - 1))
    exact = shift_right(x.long(), bits, Rounding(attributes["rounding"]))
    if not x.is_floating_point():
        return exact
    smooth = x * torch.exp2(-bits.to(x.dtype))
    return smooth + (exact.to(x.dtype) - smooth).detach()


FORMULAS: Mapping[Op, Formula] = {
    Op.CONV: sums.conv,
    Op.CONV_TRANSPOSE: sums.conv_transpose,
    Op.LINEAR: sums.linear,
    Op.MATMUL: _matmul,
    Op.MAX_POOL: _max_pool,
    Op.AVG_POOL: _sum_pool,
    Op.GLOBAL_MAX_POOL: lambda _, i: torch.amax(i[0], dim=_spatial(i[0]), keepdim=True),
    Op.GLOBAL_AVG_POOL: lambda _, i: torch.sum(i[0], dim=_spatial(i[0]), keepdim=True),
    Op.ADD: _elementwise(torch.add),
    Op.SUB: _elementwise(torch.sub),
    Op.MUL: _elementwise(torch.mul),
    Op.OR: _bitwise(torch.bitwise_or),
    Op.XOR: _bitwise(torch.bitwise_xor),
    Op.RELU: lambda _, i: functional.relu(i[0]),
    Op.CLIP: _clip,
    Op.LEAKY_RELU: _leaky_relu,
    Op.PRELU: _prelu,
    Op.ABS: lambda _, i: torch.abs(i[0]),
    Op.HARD_SIGMOID: _hard_sigmoid,
    Op.HARD_SWISH: _hard_swish,
    Op.TABLE: _table,
    Op.SOFTMAX: _softmax,
    Op.ARGMAX: _argmax,
    Op.SCALE_OFFSET: _scale_offset,
    Op.SHIFT_RIGHT: _shift_right,
    **moving.FORMULAS,
}
