"""Residual additions in one pass: oneDNN's convolution adds a second tensor before it rounds.

A depthwise convolution with weight one multiplies the first operand by a scale; the "sum" post-op
adds the second one with a scale of its own; the tail rounds and saturates as for a layer. An
addition of two bytes has 65,536 cases at most, so exactness is proven by computing every one of
them when the graph is compiled.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from nibblefit.engine import onednn
from nibblefit.engine.ranges import Range, corners, storage_type
from nibblefit.engine.requantization import NotAStaircaseError, Staircase, fuse
from nibblefit.engine.task import Kernel, Operand, Overwriting, Task
from nibblefit.engine.weighted import NotApplicableError
from nibblefit.fixed.steps import Add, Mul, ShiftLeft

#: Values per row: one vector register of bytes, which oneDNN's depthwise kernel likes best.
_ROW = 64
_Pair = Callable[[Tensor, Tensor], Tensor]
#: As `_Pair`, told whether the second operand may be overwritten.
_Fast = Callable[[Tensor, Tensor, bool], Tensor]


@dataclass(frozen=True, slots=True)
class _Line:
    """An operand as ``factor · code + offset``."""

    factor: int
    offset: int

    @staticmethod
    def of(operand: Operand) -> _Line:
        factor, offset = 1, 0
        for step in operand.steps:
            if isinstance(step, Add) and isinstance(step.value, int):
                offset += step.value
            elif isinstance(step, Mul) and isinstance(step.value, int) and step.value > 0:
                factor, offset = factor * step.value, offset * step.value
            elif isinstance(step, ShiftLeft) and isinstance(step.bits, int):
                factor, offset = factor << step.bits, offset << step.bits
            else:
                raise NotApplicableError("input steps are not one factor and one offset")
        return _Line(factor, offset)


def fused_addition(task: Task, plain: Kernel) -> Kernel:
    """Return the addition in one pass; `plain` is the proven kernel it must equal.

    Raises:
        NotApplicableError: Operands, steps or processor do not allow it.
    """
    first, second = _operands(task)
    if reason := onednn.trusted():
        raise NotApplicableError(reason)
    lines = (_Line.of(first), _Line.of(second))
    chain = task.finish(plain.raw)
    try:
        bias = np.array([lines[0].offset + lines[1].offset], dtype=np.int64)
        stairs = Staircase.of(task.steps_from(plain.raw), bias, axes=0)
        tail = fuse(stairs, [_sum(first, second, lines)], chain.result)
    except NotAStaircaseError as why:
        raise NotApplicableError(str(why)) from why
    if tail.clip not in (None, (0, 127)) or (tail.clip and tail.dtype is torch.uint8):
        raise NotApplicableError("the sum post-op is used with rectifiers only")
    is_swapped = not _is_target(second, tail.dtype) or first.stored is not torch.uint8
    if is_swapped and not _is_target(first, tail.dtype):
        if not _is_target(second, tail.dtype):
            raise NotApplicableError("neither operand has the result's type")
        is_swapped = False
    fast = _one_pass(tail, lines[::-1] if is_swapped else lines)
    stored = storage_type(chain.result)

    def one(a: Tensor, b: Tensor, overwrites: bool = False) -> Tensor:
        found = fast(b, a, overwrites) if is_swapped else fast(a, b, overwrites)
        return found if found.dtype == stored else found.view(stored)

    def slow(a: Tensor, b: Tensor) -> Tensor:
        return chain(plain.call(a, b)[0], owned=True)

    checked = _Checked(one, slow)
    checked.exhaust(first, second)
    overwriting = Overwriting(0 if is_swapped else 1, lambda a, b: (checked(a, b, True),))
    return Kernel(lambda a, b: (checked(a, b),), plain.raw, "oneDNN int8, one-pass sum",
                  "all pairs of codes computed", plain.bound, is_finished=True,
                  overwriting=overwriting)  # fmt: skip


def _operands(task: Task) -> tuple[Operand, Operand]:
    if len(task.operands) != 2 or any(o.constant is not None for o in task.operands):
        raise NotApplicableError("only two variables add in one pass")
    first, second = task.operands
    if first.shape != second.shape or len(first.shape) != 3:
        raise NotApplicableError("only images of one shape add in one pass")
    if any(o.stored not in (torch.uint8, torch.int8) for o in (first, second)):
        raise NotApplicableError("an operand exceeds 8 bits")
    return first, second


def _sum(first: Operand, second: Operand, lines: tuple[_Line, _Line]) -> Range:
    a, b = (
        corners(lambda x, y: x * y, operand.source, Range(line.factor, line.factor))
        for operand, line in zip((first, second), lines, strict=True)
    )
    return Range(a.lo + b.lo, a.hi + b.hi)


def _is_target(operand: Operand, dtype: torch.dtype) -> bool:
    """Return whether the operand's bytes mean the same in the result's type."""
    return operand.stored is dtype or operand.source.within(0, 127)


def _one_pass(tail: onednn.Tail, lines: tuple[_Line, ...]) -> _Fast:
    """Return ``tail(factor₀·a + factor₁·b)`` for byte tensors of one dense layout.

    The operator adds into its second operand: a copy of it, unless it may be overwritten.
    """
    scale, bias = float(tail.scale[0]), torch.full((_ROW,), float(tail.bias[0]))  # type: ignore[index]
    scales = torch.full((_ROW,), scale * lines[0].factor)
    weights = torch.ones(_ROW, 1, 1, 1, dtype=torch.int8)
    zeros, other = torch.zeros(_ROW, dtype=torch.int32), scale * lines[1].factor
    steps, no_pads = [1, 1], [0, 0]
    rectifier = "relu" if tail.clip else "none"
    operator = torch.ops.onednn.qconv2d_pointwise.binary

    @lru_cache(maxsize=2)
    def packed(zero: int) -> Tensor:
        result: Tensor = torch.ops.onednn.qconv_prepack(
            weights, scales, 1.0, zero, steps, no_pads, steps, _ROW, None
        )
        return result

    def run(a: Tensor, b: Tensor, overwrites: bool) -> Tensor:
        zero = 0 if a.dtype is torch.uint8 else 128
        codes = _rows(a if zero == 0 else a.view(torch.uint8) ^ 128)
        target = b if overwrites else b.clone(memory_format=torch.preserve_format)
        total = _rows(target.view(tail.dtype))
        operator(codes, 1.0, zero, packed(zero), scales, zeros, total, bias, steps, no_pads, steps,
                 _ROW, 1.0, 0, tail.dtype, other, 0, "sum", 1.0, rectifier, [], "")  # fmt: skip
        batch, channels, height, width = b.shape
        return total.permute(0, 2, 3, 1).reshape(batch, height, width, channels).permute(0, 3, 1, 2)

    return run


def _rows(image: Tensor) -> Tensor:
    """Return a channels-last image as one image of `_ROW` channels, without copying."""
    return image.permute(0, 2, 3, 1).view(1, 1, -1, _ROW).permute(0, 3, 1, 2)


@dataclass(frozen=True, slots=True)
class _Checked:
    """The one-pass addition where it applies, is right and is faster, else the plain one.

    Decided on the first batch of every shape, for each number of threads inside an operation; both
    give the same codes, so the choice cannot show.
    """

    fast: _Fast
    slow: _Pair
    sound: dict[tuple[torch.Size, bool, int], bool] = field(default_factory=dict)

    def __call__(self, a: Tensor, b: Tensor, overwrites: bool = False) -> Tensor:
        fits = a.numel() % _ROW == 0 and _is_dense(a) and _is_dense(b)
        key = (a.shape, fits, torch.get_num_threads())
        if key not in self.sound:
            self.sound[key] = (
                fits
                and torch.equal(self._copying(a, b), self.slow(a, b))
                and _seconds(self._copying, a, b) < _seconds(self.slow, a, b)
            )
        return self.fast(a, b, overwrites) if self.sound[key] else self.slow(a, b)

    def _copying(self, a: Tensor, b: Tensor) -> Tensor:
        return self.fast(a, b, False)

    def exhaust(self, first: Operand, second: Operand) -> None:
        """Compare all pairs of codes; NotApplicableError if one differs."""
        a = torch.arange(first.source.lo, first.source.hi + 1)
        b = torch.arange(second.source.lo, second.source.hi + 1)
        pairs = torch.cartesian_prod(a, b)
        rest = -len(pairs) % _ROW
        pairs = torch.cat([pairs, pairs[:1].expand(rest, 2)])
        left, right = (
            pairs[:, i].reshape(1, -1, 1, _ROW).permute(0, 3, 1, 2).to(operand.stored)
            for i, operand in enumerate((first, second))
        )
        if not torch.equal(self._copying(left, right), self.slow(left, right)):
            raise NotApplicableError("the one-pass sum is not exact for some pair of codes")


def _seconds(pair: _Pair, a: Tensor, b: Tensor) -> float:
    """Return the shortest of three runs."""
    found = []
    for _ in range(3):
        start = time.perf_counter()
        pair(a, b)
        found.append(time.perf_counter() - start)
    return min(found)


def _is_dense(image: Tensor) -> bool:
    return image.is_contiguous(memory_format=torch.channels_last)
