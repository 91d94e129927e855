"""Pools: separable passes of shifted maxima or sums, for one, two or three spatial axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from nibblefit.engine.ranges import LIMITS, Range, UnprovableError
from nibblefit.engine.task import Kernel, Operand, Task, whole
from nibblefit.fixed.geometry import Window
from nibblefit.ir.attributes import window_of

Combine = Callable[..., Tensor]


def build_max_pool(task: Task) -> Kernel:
    """Return the maximum under each window, in the activations' own type."""
    x = _variable(task)
    window = window_of(task.attributes, tuple(task.attributes["kernel"]))
    dtype = x.stored if not x.steps else task.working(x.values)
    fetch, lowest = x.fetch(dtype), LIMITS[dtype].lo
    sizes = x.shape[1:]

    def call(tensor: Tensor) -> tuple[Tensor]:
        return (_separable(fetch(tensor), window, sizes, torch.maximum, lowest),)

    return Kernel(call, x.values, f"torch {_words(dtype)} maxima", "comparisons only",
                  x.values.magnitude, is_fresh=window.kernel.count(1) < window.axes)  # fmt: skip


def build_sum_pool(task: Task) -> Kernel:
    """Return the sum under each window; padding adds zeros."""
    x = _variable(task)
    window = window_of(task.attributes, tuple(task.attributes["kernel"]))
    raw = _summed(x.values, math.prod(window.kernel))
    dtype = task.working(raw, x.values)
    fetch, sizes = x.fetch(dtype), x.shape[1:]

    def call(tensor: Tensor) -> tuple[Tensor]:
        return (_separable(fetch(tensor), window, sizes, torch.add, 0),)

    return Kernel(call, raw, f"torch {_words(dtype)} sums", "integer arithmetic", raw.magnitude,
                  is_fresh=window.kernel.count(1) < window.axes)  # fmt: skip


def build_global_sum(task: Task) -> Kernel:
    """Return the sum over all spatial axes, kept with size one."""
    x = _variable(task)
    raw = _summed(x.values, math.prod(x.shape[1:]))
    dtype = task.working(raw, x.values)
    axes = list(range(2, len(x.shape) + 1))
    if not axes:
        raise UnprovableError("the input has no spatial axes")
    # A type change inside the reduction saves a pass where no steps come first.
    fetch = x.fetch(dtype) if x.steps else lambda t: t
    wide = torch.int64 if dtype is torch.int64 else torch.int32

    def call(tensor: Tensor) -> tuple[Tensor]:
        return (fetch(tensor).sum(axes, keepdim=True, dtype=wide),)

    return Kernel(call, raw, f"torch {_words(wide)} sums", "integer arithmetic", raw.magnitude)


def build_global_max(task: Task) -> Kernel:
    """Return the largest value over all spatial axes, kept with size one."""
    x = _variable(task)
    dtype = x.stored if not x.steps else task.working(x.values)
    fetch, axes = x.fetch(dtype), list(range(2, len(x.shape) + 1))
    if not axes:
        raise UnprovableError("the input has no spatial axes")
    name = f"torch {_words(dtype)} maxima"
    return Kernel(lambda t: (fetch(t).amax(axes, keepdim=True),), x.values, name,
                  "comparisons only", x.values.magnitude)  # fmt: skip


def _variable(task: Task) -> Operand:
    if task.x.constant is not None:
        raise UnprovableError("the input is a constant")
    return task.x


def _words(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _summed(values: Range, count: int) -> Range:
    return whole(Range(min(count * values.lo, 0), max(count * values.hi, 0)))


def _separable(
    x: Tensor, window: Window, sizes: tuple[int, ...], combine: Combine, fill: int
) -> Tensor:
    """Combine the taps of one axis after the other: k₁ + k₂ passes instead of k₁ · k₂."""
    for number in range(window.axes):
        axis = _Axis.of(window, number, sizes)
        if not axis.is_covered():
            around = [0, 0] * (window.axes - 1 - number) + [axis.begin, axis.end]
            x, axis = functional.pad(x, around, value=fill), axis.padded()
        x = _along(x, axis, combine)
    return x


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis of a window: where its taps lie in the image."""

    place: int
    taps: int
    stride: int
    dilation: int
    begin: int
    end: int
    size: int
    count: int

    @staticmethod
    def of(window: Window, number: int, sizes: tuple[int, ...]) -> _Axis:
        return _Axis(
            number + 2, window.kernel[number], window.strides[number], window.dilations[number],
            window.begins()[number], window.reach(sizes)[number], sizes[number],
            window.output_sizes(sizes)[number],
        )  # fmt: skip

    def padded(self) -> _Axis:
        return replace(self, begin=0, end=0, size=self.size + self.begin + self.end)

    def inside(self, tap: int) -> range:
        """Return the window positions whose tap lies inside the image."""
        offset = tap * self.dilation - self.begin
        first = max(0, -(offset // self.stride))
        return range(first, min(self.count, (self.size - 1 - offset) // self.stride + 1))

    def is_covered(self) -> bool:
        """Return whether some tap lies inside the image at every position."""
        return any(self.inside(tap) == range(self.count) for tap in range(self.taps))

    def view(self, x: Tensor, tap: int) -> Tensor:
        """Return what a tap sees at the positions where it lies inside the image."""
        inside = self.inside(tap)
        start = inside.start * self.stride + tap * self.dilation - self.begin
        cut = [slice(None)] * x.ndim
        cut[self.place] = slice(
            start, start + max(len(inside) - 1, 0) * self.stride + 1, self.stride
        )
        return x[tuple(cut)]


def _along(x: Tensor, axis: _Axis, combine: Combine) -> Tensor:
    """Combine the taps of one axis: first those inside everywhere, then the others' parts."""
    taps = sorted(range(axis.taps), key=lambda tap: -len(axis.inside(tap)))
    total = axis.view(x, taps[0])
    if len(taps) == 1:
        return total
    is_full = len(axis.inside(taps[1])) == axis.count
    total = combine(total, axis.view(x, taps[1])) if is_full else total.clone()
    for tap in taps[2 if is_full else 1 :]:
        inside = axis.inside(tap)
        if len(inside):
            part = total.narrow(axis.place, inside.start, len(inside))
            combine(part, axis.view(x, tap), out=part)
    return total
