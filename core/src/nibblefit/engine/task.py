"""Tasks: one node of the graph with everything that is known about its inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from nibblefit.engine.chain import Chain, compile_steps
from nibblefit.engine.ranges import INT64, Range, UnprovableError, hull, of_array, working_type
from nibblefit.errors import MismatchError
from nibblefit.fixed.apply import apply_steps
from nibblefit.fixed.formats import Accumulator, IntArray, Overflow
from nibblefit.fixed.steps import Clamp, Steps, Wrap
from nibblefit.ir.execute import parameters_of
from nibblefit.ir.graph import Attributes, Shape
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode

#: From the node's variable inputs, in storage types, to its outputs.
Call: TypeAlias = Callable[..., Sequence[Tensor]]
Prepare: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Operand:
    """One input of a node.

    Attributes:
        shape: Without batch axis; a constant that is a parameter has none anyway.
        source: Range before the input steps.
        values: Range after them.
        stored: Element type in which the tensor arrives.
        steps: Input steps; already applied to a constant.
        constant: Value after the input steps, batch axis of one unless it is a parameter; None
            for a variable.
    """

    shape: Shape
    source: Range
    values: Range
    stored: torch.dtype
    steps: Steps
    constant: IntArray | None = None

    def chain(self, dtype: torch.dtype) -> Chain:
        """Return the input steps ending in `dtype`, which must hold `values`."""
        return compile_steps(self.steps, self.source, dtype)

    def fetch(self, dtype: torch.dtype) -> Prepare:
        """Return the way from the stored tensor to the operand's values in `dtype`."""
        return self.chain(dtype) if self.constant is None else lambda tensor: tensor

    def is_fresh(self, dtype: torch.dtype) -> bool:
        """Return whether `fetch` makes a tensor of its own, which may then be overwritten."""
        if self.constant is not None:
            return False
        return bool(self.chain(dtype).segments) or dtype != self.stored

    def tensor(self, dtype: torch.dtype) -> Tensor:
        """Return a constant as a tensor."""
        assert self.constant is not None  # asked of constants only
        return torch.from_numpy(np.array(self.constant)).to(dtype)


@dataclass(frozen=True, slots=True)
class Overwriting:
    """A form of a kernel that destroys one operand, for when nobody else will read it.

    Attributes:
        position: Which variable operand.
        call: As the kernel's.
    """

    position: int
    call: Call


@dataclass(frozen=True, slots=True)
class Kernel:
    """The chosen way to compute one node.

    Attributes:
        call: Takes the variable operands' tensors; returns raw results, or finished ones.
        raw: Range of the exact result before accumulator and steps.
        name: Shown by `Engine.explain`.
        reason: Why this kernel is exact, and why no faster one is used.
        bound: Largest magnitude of any partial result.
        is_fresh: Results may be overwritten.
        is_finished: Accumulator and steps are part of `call`.
        is_float: Uses torch's floating-point convolutions or matrix products, which settings of
            the process could make inexact.
        overwriting: A faster form, if there is one; only of a finished kernel.
    """

    call: Call
    raw: Range
    name: str
    reason: str
    bound: int
    is_fresh: bool = True
    is_finished: bool = False
    is_float: bool = False
    overwriting: Overwriting | None = None

    def explained(self, refused: Sequence[str]) -> Kernel:
        """Return the kernel with the reasons against the faster ones added."""
        against = "; ".join(dict.fromkeys(refused))
        return replace(self, reason=f"{self.reason} ({against})") if against else self


@dataclass(frozen=True, slots=True)
class Task:
    """A node, its operands, and the device that computes it."""

    graph: QuantizedGraph
    node: QuantizedNode
    operands: tuple[Operand, ...]
    device: torch.device

    @property
    def op(self) -> Op:
        return self.node.op

    @property
    def attributes(self) -> Attributes:
        return self.node.attributes

    @property
    def x(self) -> Operand:
        """The first operand."""
        return self.operands[0]

    def forbidden(self, raw: Range) -> Range | None:
        """Return the accumulator's limits if they may not be left and that is not proven."""
        accumulator = self.node.accumulator
        if accumulator is None or accumulator.overflow is not Overflow.FORBID:
            return None
        limits = _limits(accumulator)
        return None if raw.within(*limits) else limits

    def steps_from(self, raw: Range) -> Steps:
        """Return accumulator and steps as one tuple of steps for raw results of a range."""
        accumulator = self.node.accumulator
        if accumulator is None or accumulator.overflow is Overflow.FORBID:
            return self.node.steps
        limits = _limits(accumulator)
        if raw.within(*limits):
            return self.node.steps
        if accumulator.overflow is Overflow.WRAP:
            return (Wrap(accumulator.bits), *self.node.steps)
        return (Clamp(*limits), *self.node.steps)

    def finish(self, raw: Range, dtype: torch.dtype | None = None) -> Chain:
        """Return the chain from raw results to codes."""
        limits = self.forbidden(raw)
        # A run-time check follows where the accumulator is not proven, so limits hold here.
        start = raw if limits is None else Range(max(raw.lo, limits.lo), min(raw.hi, limits.hi))
        return compile_steps(self.steps_from(raw), start, dtype, entry=raw)

    def working(self, raw: Range, *needed: Range) -> torch.dtype:
        """Return the integer type to compute in: holds all ranges, and what the steps need."""
        plain = working_type(hull((raw, *needed)))
        entry = self.finish(raw).entry
        if entry in (torch.int32, torch.int64) and entry.itemsize > plain.itemsize:
            return entry
        return plain


def _limits(accumulator: Accumulator) -> Range:
    half = 1 << (accumulator.bits - 1)
    return Range(-half, half - 1)


def operand_of(
    graph: QuantizedGraph, node: QuantizedNode, index: int,
    values: dict[str, Range], types: dict[str, torch.dtype],
) -> Operand:  # fmt: skip
    """Return one operand of a node.

    Raises:
        UnprovableError: Its input steps may leave int64.
    """
    name, steps = node.inputs[index], node.steps_of_input(index)
    if name in graph.constants:
        return constant_operand(graph.constants[name], steps, index in parameters_of(node.op))
    source = values[name]
    after = compile_steps(steps, source).result
    return Operand(graph.tensors[name].shape, source, after, types[name], steps)


def constant_operand(raw: IntArray, steps: Steps, is_parameter: bool) -> Operand:
    """Return a constant after its input steps; a non-parameter gets a batch axis of one."""
    try:
        batched = apply_steps(raw[None], steps)
    except OverflowError as error:
        raise UnprovableError(str(error)) from error
    constant = batched[0] if is_parameter else batched
    found = of_array(constant)
    return Operand(batched.shape[1:], found, found, torch.int64, (), constant)


def checked(limits: Range, place: str) -> Callable[[Tensor], Tensor]:
    """Return a pass that refuses values outside the limits, for what no range could prove."""

    def check(value: Tensor) -> Tensor:
        if value.numel():
            low, high = (int(v.item()) for v in torch.aminmax(value))
            if low < limits.lo or high > limits.hi:
                raise MismatchError(f"{place} reaches {low if low < limits.lo else high}; "
                                    f"expected {limits.lo} to {limits.hi}")  # fmt: skip
        return value

    return check


def whole(values: Range) -> Range:
    """Return the range, refused if it leaves int64."""
    if not values.within(*INT64):
        raise UnprovableError(f"results from {values.lo} to {values.hi} may not fit 64 bits")
    return values


Builder: TypeAlias = Callable[[Task], Kernel]
