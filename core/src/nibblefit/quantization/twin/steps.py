"""Integer steps on tensors that carry gradients.

Forward is exact int64 arithmetic. Backward is the slope of the same formula without rounding:
straight through every rounding, zero where a clamp or a rectifier cut the value off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.steps import (
    Add,
    AddFloat32,
    Clamp,
    DivFloat32,
    Divide,
    Lookup,
    Mul,
    MulFloat32,
    RoundFloat32,
    ShiftLeft,
    ShiftRight,
    Step,
    Steps,
    Wrap,
)
from nibblefit.quantization.twin import rounding

#: New value, and the slope of the step (None for one).
_Result = tuple[Tensor, Tensor | None]


def apply_steps(x: Tensor, steps: Steps) -> Tensor:
    """Return integer-valued `x` after all steps, in the same dtype."""
    if not steps:
        return x
    return _Apply.apply(x, steps)  # type: ignore[no-any-return, no-untyped-call]


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: Steps) -> Tensor:
        value, slope = x.long(), None
        for step in steps:
            value, factor = _STEP[type(step)](step, value)
            if factor is not None and ctx.needs_input_grad[0]:
                slope = factor if slope is None else slope * factor
        ctx.slope, ctx.like = slope, x.shape
        return value.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        if ctx.slope is not None:
            gradient = gradient * ctx.slope.to(gradient.dtype)
        return gradient.sum_to_size(ctx.like), None


def _integers(value: Any, like: Tensor) -> Tensor:
    return torch.as_tensor(np.asarray(value, np.int64).copy(), device=like.device)


def _floats(value: Any, like: Tensor) -> Tensor:
    return torch.as_tensor(np.asarray(value, np.float32).copy(), device=like.device)


def _add(step: Add, x: Tensor) -> _Result:
    return x + _integers(step.value, x), None


def _mul(step: Mul, x: Tensor) -> _Result:
    factor = _integers(step.value, x)
    return x * factor, factor.double()


def _shift_left(step: ShiftLeft, x: Tensor) -> _Result:
    bits = _integers(step.bits, x)
    return torch.bitwise_left_shift(x, bits), torch.exp2(bits.double())


def _shift_right(step: ShiftRight, x: Tensor) -> _Result:
    bits = _integers(step.bits, x)
    return rounding.shift_right(x, bits, step.rounding), torch.exp2(-bits.double())


def _divide(step: Divide, x: Tensor) -> _Result:
    divisor = _integers(step.divisor, x)
    return rounding.divide(x, divisor, step.rounding), 1.0 / divisor.double()


def _clamp(step: Clamp, x: Tensor) -> _Result:
    clamped = torch.clamp(x, step.lo, step.hi)
    return clamped, (clamped == x).double()


def _wrap(step: Wrap, x: Tensor) -> _Result:
    low = x & ((1 << step.bits) - 1)
    if not step.signed:
        return low, None
    sign = 1 << (step.bits - 1)
    return (low ^ sign) - sign, None


def _lookup(step: Lookup, x: Tensor) -> _Result:
    table = _integers(step.table, x)
    return table[x - step.lowest], table_slope(table)[x - step.lowest]


def table_slope(table: Tensor) -> Tensor:
    """Return the central difference at every entry, one-sided at the ends; float64."""
    wide = torch.nn.functional.pad(table.double()[None, None], (1, 1), mode="replicate")[0, 0]
    span = torch.full_like(wide[2:], 2.0)
    span[0] = span[-1] = 1.0
    return (wide[2:] - wide[:-2]) / span


def _mul_float32(step: MulFloat32, x: Tensor) -> _Result:
    factor = _floats(step.factor, x)
    return x.float() * factor, factor.double()


def _div_float32(step: DivFloat32, x: Tensor) -> _Result:
    divisor = _floats(step.divisor, x)
    return x.float() / divisor, 1.0 / divisor.double()


def _add_float32(step: AddFloat32, x: Tensor) -> _Result:
    return x.float() + _floats(step.addend, x), None


def _round_float32(step: RoundFloat32, x: Tensor) -> _Result:
    return rounding.round_float32(x, step.rounding), None


class _Table(dict[type[Step], Callable[[Any, Tensor], _Result]]):
    def __missing__(self, kind: type[Step]) -> Callable[[Any, Tensor], _Result]:
        raise UnsupportedError(
            f"the training twin does not know the step {kind.__name__}",
            hint="give the target a simulation of its own (hook `simulate`)",
        )


_STEP: Mapping[type[Step], Callable[[Any, Tensor], _Result]] = _Table({
    Add: _add,
    Mul: _mul,
    ShiftLeft: _shift_left,
    ShiftRight: _shift_right,
    Divide: _divide,
    Clamp: _clamp,
    Wrap: _wrap,
    Lookup: _lookup,
    MulFloat32: _mul_float32,
    DivFloat32: _div_float32,
    AddFloat32: _add_float32,
    RoundFloat32: _round_float32,
})  # fmt: skip
