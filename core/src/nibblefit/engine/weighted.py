"""Convolutions and linear layers: the bound of every sum, and the fastest kernel it proves exact.

A sum of integer products is exact in a floating-point type, in any order and with or without fused
multiply-add, if no partial sum can pass the type's largest exact integer: ``Σ|w|·max|x| + |bias|``
below 2^24 (float32) or 2^53 (float64). The int8 operator sums in int32 and is exact below 2^31.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from nibblefit.engine.ranges import Range, UnprovableError, hull, of_array
from nibblefit.engine.task import Operand, Task
from nibblefit.fixed.formats import IntArray
from nibblefit.fixed.geometry import Window
from nibblefit.ir.attributes import spatial, window_of
from nibblefit.ir.ops import Op

_INT64_ROOM = 1 << 62


class NotApplicableError(Exception):
    """A kernel cannot be proven exact for a layer; the text says which condition fails."""


@dataclass(frozen=True)
class Layer:
    """A convolution, transposed convolution or linear layer with constant weights.

    A linear layer is a convolution of one tap whose channel axis is the last one.

    Attributes:
        x: The activations.
        weights: (out, in/groups, *kernel), for a transposed one (in, out/groups, *kernel).
        bias: Constant bias per output channel; zeros if there is none or it is a variable.
        variable_bias: The bias tensor (batch, out), if it is a variable.
    """

    op: Op
    x: Operand
    weights: IntArray
    bias: IntArray
    variable_bias: Operand | None
    window: Window
    groups: int
    output_padding: tuple[int, ...]

    @property
    def axes(self) -> int:
        """Spatial axes; 0 for a linear layer."""
        return 0 if self.op is Op.LINEAR else self.weights.ndim - 2

    @property
    def outputs(self) -> int:
        """Output channels."""
        return len(self.bias)

    @cached_property
    def by_output(self) -> IntArray:
        """Weights as (out, everything that one output adds up)."""
        if self.op is not Op.CONV_TRANSPOSE:
            return self.weights.reshape(len(self.weights), -1)
        inputs, outputs = self.weights.shape[:2]
        grouped = self.weights.reshape(self.groups, inputs // self.groups, outputs, -1)
        return grouped.transpose(0, 2, 1, 3).reshape(self.groups * outputs, -1)

    @cached_property
    def weight_sums(self) -> list[int]:
        """Σ|w| per output channel."""
        largest = of_array(self.by_output).magnitude
        if largest * max(self.by_output.shape[-1], 1) >= _INT64_ROOM:
            raise UnprovableError("the sum of the weights may not fit 64 bits")
        return [int(v) for v in np.abs(self.by_output).sum(axis=1)]

    @cached_property
    def sums(self) -> list[Range]:
        """Range of Σ w·x per output channel, without bias.

        Padding and partly covered positions add zero, so zero counts among the inputs.
        """
        low, high = min(self.x.values.lo, 0), max(self.x.values.hi, 0)
        total = self.weight_sums
        net = [int(v) for v in self.by_output.sum(axis=1)]
        found = []
        for absolute, signed in zip(total, net, strict=True):
            up, down = (absolute + signed) // 2, (absolute - signed) // 2
            found.append(Range(up * low - down * high, up * high - down * low))
        return found

    @property
    def raw(self) -> Range:
        """Range of the result before its steps."""
        extra = self.variable_bias.values if self.variable_bias else Range(0, 0)
        return hull(
            Range(s.lo + b + extra.lo, s.hi + b + extra.hi)
            for s, b in zip(self.sums, map(int, self.bias), strict=True)
        )

    @property
    def bound(self) -> int:
        """Largest possible magnitude of any partial sum, bias included."""
        largest = self.x.values.magnitude
        pairs = zip(self.weight_sums, map(int, self.bias), strict=True)
        return max(total * largest + abs(bias) for total, bias in pairs)


def layer_of(task: Task) -> Layer:
    """Return the node's layer.

    Raises:
        UnprovableError: Its weights are not constant, or its activations are.
    """
    x, weights, *rest = task.operands
    if x.constant is not None or weights.constant is None:
        raise UnprovableError("the weights are a variable, or the input is a constant")
    values = weights.constant
    is_transposed = task.op is Op.CONV_TRANSPOSE
    groups = int(task.attributes.get("groups", 1))
    outputs = values.shape[1] * groups if is_transposed else values.shape[0]
    variable = rest[0] if rest and rest[0].constant is None else None
    known = rest[0].constant if rest and variable is None else None
    bias = np.zeros(outputs, dtype=np.int64) if known is None else known
    axes = max(values.ndim - 2, 0)
    return Layer(
        task.op, x, values, bias, variable, window_of(task.attributes, values.shape[2:]), groups,
        spatial(task.attributes, "output_padding", axes, 0),
    )  # fmt: skip


def plus_variable_bias(layer: Layer, sums: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """Return sums (batch, out, *positions), or (batch, …, out) if linear, plus (batch, out)."""
    assert layer.variable_bias is not None  # called only with one
    value = layer.variable_bias.fetch(dtype)(bias)
    ones = (1,) * (sums.ndim - 2)
    batch, out = value.shape
    spread = (batch, *ones, out) if layer.op is Op.LINEAR else (batch, out, *ones)
    return sums.to(dtype) + value.reshape(spread)


def pads_inside(window: Window) -> bool:
    """Return whether an operator may do the padding itself.

    Operators take the same padding on both sides only. And where a window can lie in the padding
    entirely, oneDNN 3.12 reads outside its input (a crash, found by random graphs), so such images
    are padded beforehand.
    """
    begins, ends = window.begins(), window.ends()
    return begins == ends and all(p < s for p, s in zip(begins, window.spans(), strict=True))
