"""The range of the exact result of every operator, from the ranges of its inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nibblefit.errors import GraphError
from nibblefit.fixed.arith import MAX_SHIFT
from nibblefit.fixed.formats import IntArray, Rounding
from nibblefit.fixed.intervals import End, Interval, bounds_after, divide_exact, hull
from nibblefit.fixed.steps import Steps
from nibblefit.ir.graph import Attributes
from nibblefit.ir.ops import Op

Bounds = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Operand:
    """One input after its steps: its range, its values if it is a constant, and its shape."""

    interval: Interval
    constant: IntArray | None
    shape: tuple[int, ...]

    @property
    def hull(self) -> Bounds:
        """Ints that enclose the range; exact for constants."""
        if self.constant is not None and self.constant.size:
            return int(self.constant.min()), int(self.constant.max())
        return hull(self.interval)


Rule = Callable[[Attributes, Sequence[Operand]], Interval]


def first_operand(_: Attributes, operands: Sequence[Operand]) -> Interval:
    """Return the range of the first input: operators that move or keep values."""
    return operands[0].hull


def _any_pads(attributes: Attributes) -> bool:
    return any(attributes.get("pads") or ()) or bool(attributes.get("ceil_mode", False))


def _with_zero(bounds: Bounds) -> Bounds:
    return min(bounds[0], 0), max(bounds[1], 0)


def _weighted(axes: Callable[[IntArray], tuple[int, ...]], columns: int) -> Rule:
    """Return the rule of an operator with weights summed over `axes`.

    The result has one entry per output channel, followed by `columns` axes of size one.
    """

    def rule(attributes: Attributes, operands: Sequence[Operand]) -> Interval:
        weights = operands[1].constant
        if weights is None:
            raise GraphError("its weights are no constant")
        lo, hi = operands[0].hull
        if _any_pads(attributes):
            lo, hi = _with_zero((lo, hi))
        up, down = _signed_sums(weights, axes(weights))
        low, high = up * lo + down * hi, up * hi + down * lo
        if len(operands) > 2:
            low, high = _plus_bias(operands[2], low, high)
        shape = (-1, *(1,) * (columns if columns >= 0 else weights.ndim - 2))
        return np.reshape(low, shape), np.reshape(high, shape)

    return rule


def _signed_sums(weights: IntArray, axes: tuple[int, ...]) -> tuple[Any, Any]:
    """Return the sums of positive and of negative weights as Python integers.

    Summed in int64 where they cannot overflow, which is a hundred times faster.
    """
    largest = max(abs(int(weights.min(initial=0))), abs(int(weights.max(initial=0))))
    whole = weights if largest * weights.size < 1 << 62 else weights.astype(object)
    up = np.sum(np.maximum(whole, 0), axis=axes)
    down = np.sum(np.minimum(whole, 0), axis=axes)
    return np.asarray(up).astype(object), np.asarray(down).astype(object)


def _plus_bias(bias: Operand, low: End, high: End) -> Interval:
    if bias.constant is not None:
        return low + bias.constant.astype(object), high + bias.constant.astype(object)
    lo, hi = bias.hull
    return low + lo, high + hi


def _conv_transpose(attributes: Attributes, operands: Sequence[Operand]) -> Interval:
    """Bound each output by all taps of its channel, and by nothing where no tap lands."""
    weights = operands[1].constant
    if weights is None:
        raise GraphError("its weights are no constant")
    groups = attributes.get("groups", 1)
    grouped = weights.reshape(groups, weights.shape[0] // groups, weights.shape[1], -1)
    per_output = np.moveaxis(grouped, 1, 2).reshape(groups * weights.shape[1], -1)
    swapped = Operand((0, 0), per_output, per_output.shape)
    # An output may be reached by some taps only, so zero stands for the others.
    source = Operand(_with_zero(operands[0].hull), None, operands[0].shape)
    low, high = _weighted(lambda _: (1,), 0)({}, [source, swapped, *operands[2:]])
    shape = (-1, *(1,) * (weights.ndim - 2))
    return np.reshape(low, shape), np.reshape(high, shape)


def _matmul(_: Attributes, operands: Sequence[Operand]) -> Interval:
    (a_lo, a_hi), (b_lo, b_hi) = operands[0].hull, operands[1].hull
    corners = [x * y * operands[0].shape[-1] for x in (a_lo, a_hi) for y in (b_lo, b_hi)]
    return min(corners), max(corners)


def _sum_pool(attributes: Attributes, operands: Sequence[Operand]) -> Interval:
    count = math.prod(attributes["kernel"])
    lo, hi = operands[0].hull
    if _any_pads(attributes):
        lo, hi = _with_zero((lo, hi))
    return lo * count, hi * count


def _global_sum(_: Attributes, operands: Sequence[Operand]) -> Interval:
    count = math.prod(operands[0].shape[1:])
    lo, hi = operands[0].hull
    return lo * count, hi * count


def _add(_: Attributes, operands: Sequence[Operand]) -> Interval:
    return sum(o.hull[0] for o in operands), sum(o.hull[1] for o in operands)


def _sub(_: Attributes, operands: Sequence[Operand]) -> Interval:
    lo, hi = operands[0].hull
    rest = [o.hull for o in operands[1:]]
    return lo - sum(r[1] for r in rest), hi - sum(r[0] for r in rest)


def _mul(_: Attributes, operands: Sequence[Operand]) -> Interval:
    lo, hi = operands[0].hull
    for operand in operands[1:]:
        corners = [x * y for x in (lo, hi) for y in operand.hull]
        lo, hi = min(corners), max(corners)
    return lo, hi


def _bitwise(_: Attributes, operands: Sequence[Operand]) -> Interval:
    """Return the narrowest two's complement width that holds all operands."""
    ends = [end for o in operands for end in o.hull]
    width = max((end if end >= 0 else ~end).bit_length() for end in ends)
    return (-(1 << width) if min(ends) < 0 else 0), (1 << width) - 1


def _hull_of_all(_: Attributes, operands: Sequence[Operand]) -> Interval:
    hulls = [o.hull for o in operands]
    return min(h[0] for h in hulls), max(h[1] for h in hulls)


def _clip(attributes: Attributes, operands: Sequence[Operand]) -> Interval:
    lo, hi = operands[0].hull
    for bound, choose in ((attributes["lo"], max), (attributes["hi"], min)):
        if bound is not None:
            lo, hi = choose(lo, bound), choose(hi, bound)
    return lo, hi


def _abs(_: Attributes, operands: Sequence[Operand]) -> Interval:
    lo, hi = operands[0].hull
    return (0 if lo <= 0 <= hi else min(abs(lo), abs(hi))), max(abs(lo), abs(hi))


def _two_sided(attributes: Attributes, x: Bounds, below: Bounds) -> Interval:
    positive: Steps = attributes.get("positive", ())
    parts = []
    if x[1] >= 0:
        parts.append(hull(bounds_after(max(x[0], 0), x[1], positive)))
    if x[0] < 0:
        parts.append(hull(bounds_after(*below, attributes["negative"])))
    return min(p[0] for p in parts), max(p[1] for p in parts)


def _leaky_relu(attributes: Attributes, operands: Sequence[Operand]) -> Interval:
    lo, hi = operands[0].hull
    return _two_sided(attributes, (lo, hi), (min(lo, 0), min(hi, 0)))


def _prelu(attributes: Attributes, operands: Sequence[Operand]) -> Interval:
    lo, hi = operands[0].hull
    corners = [x * s for x in (min(lo, 0), min(hi, 0)) for s in operands[1].hull]
    return _two_sided(attributes, (lo, hi), (min(corners), max(corners)))


def _gate(attributes: Attributes, operands: Sequence[Operand]) -> Bounds:
    lo, hi = operands[0].hull
    three, six = attributes["three"], attributes["six"]
    return min(max(lo + three, 0), six), min(max(hi + three, 0), six)


def _hard_swish(attributes: Attributes, operands: Sequence[Operand]) -> Interval:
    gate = hull(bounds_after(*_gate(attributes, operands), attributes.get("gate", ())))
    corners = [x * g for x in operands[0].hull for g in gate]
    return min(corners), max(corners)


def _table(attributes: Attributes, operands: Sequence[Operand]) -> Interval:
    (lo, hi), table, lowest = operands[0].hull, operands[1].constant, attributes["lowest"]
    if table is None:
        raise GraphError("its table is no constant")
    if lo < lowest or hi >= lowest + len(table):
        raise GraphError(
            f"values {lo} to {hi} can reach a table that covers {lowest} to "
            f"{lowest + len(table) - 1}", hint="clamp its input or extend the table",
        )  # fmt: skip
    reached = table[lo - lowest : hi - lowest + 1]
    return int(reached.min()), int(reached.max())


def _scale_offset(_: Attributes, operands: Sequence[Operand]) -> Interval:
    (lo, hi), scale, offset = operands[0].hull, operands[1].constant, operands[2].constant
    if scale is None or offset is None:
        raise GraphError("its scale or offset is no constant")
    wide, shift = scale.astype(object), offset.astype(object)
    ends = np.stack([wide * lo + shift, wide * hi + shift])
    shape = (-1, *(1,) * (len(operands[0].shape) - 1))
    return ends.min(axis=0).reshape(shape), ends.max(axis=0).reshape(shape)


def _pad(attributes: Attributes, operands: Sequence[Operand]) -> Interval:
    lo, hi = operands[0].hull
    value = attributes.get("value", 0)
    return (min(lo, value), max(hi, value)) if any(attributes["pads"]) else (lo, hi)


def _bilinear(attributes: Attributes, operands: Sequence[Operand]) -> Interval:
    one = 1 << (attributes["weight_bits"] * len(attributes["sizes"]))
    lo, hi = operands[0].hull
    return lo * one, hi * one


def _softmax(attributes: Attributes, operands: Sequence[Operand]) -> Interval:
    table = operands[1].constant
    if table is None or table.size == 0 or table.min() < 0 or table[0] < 1:
        raise GraphError("its table is no constant of exponentials, 0 or more and first above 0")
    return 0, int(attributes["numerator"])


def _argmax(attributes: Attributes, operands: Sequence[Operand]) -> Interval:
    axis = attributes["axis"]
    shape = operands[0].shape
    return 0, shape[axis - 1 if axis > 0 else axis] - 1


def _choose_shift(_: Attributes, __: Sequence[Operand]) -> Interval:
    return 0, MAX_SHIFT


def _shift_right(attributes: Attributes, operands: Sequence[Operand]) -> Interval:
    amounts = operands[1].hull
    ends = [
        divide_exact(end, 1 << amount, Rounding(attributes["rounding"]))
        for end in operands[0].hull
        for amount in amounts
    ]
    return min(ends), max(ends)


RULES: Mapping[Op, Rule] = {
    Op.CONV: _weighted(lambda w: tuple(range(1, w.ndim)), -1),
    Op.CONV_TRANSPOSE: _conv_transpose,
    Op.LINEAR: _weighted(lambda _: (1,), 0),
    Op.MATMUL: _matmul,
    Op.AVG_POOL: _sum_pool,
    Op.GLOBAL_AVG_POOL: _global_sum,
    Op.ADD: _add,
    Op.SUB: _sub,
    Op.MUL: _mul,
    Op.OR: _bitwise,
    Op.XOR: _bitwise,
    Op.CONCAT: _hull_of_all,
    Op.RELU: lambda _, o: _clip({"lo": 0, "hi": None}, o),
    Op.CLIP: _clip,
    Op.LEAKY_RELU: _leaky_relu,
    Op.PRELU: _prelu,
    Op.ABS: _abs,
    Op.HARD_SIGMOID: _gate,
    Op.HARD_SWISH: _hard_swish,
    Op.TABLE: _table,
    Op.SOFTMAX: _softmax,
    Op.ARGMAX: _argmax,
    Op.SCALE_OFFSET: _scale_offset,
    Op.PAD: _pad,
    Op.RESIZE_BILINEAR: _bilinear,
    Op.CHOOSE_SHIFT: _choose_shift,
    Op.SHIFT_RIGHT: _shift_right,
}
