"""Rectifiers, gates and tables."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from nibblefit.engine.chain import Chain, compile_steps, lookup_pass
from nibblefit.engine.ranges import (
    Range,
    UnprovableError,
    clamp,
    corners,
    hull,
    of_array,
    of_lookup,
    storage_type,
    working_type,
)
from nibblefit.engine.task import Kernel, Operand, Task, whole
from nibblefit.fixed.steps import Add, Clamp, Steps
from nibblefit.ir.ops import Op


def _variable(task: Task) -> Operand:
    if task.x.constant is not None:
        raise UnprovableError("the input is a constant")
    return task.x


def _kernel(
    call: Callable[[Tensor], Tensor], raw: Range, dtype: torch.dtype,
    reason: str = "integer arithmetic", is_fresh: bool = True,
) -> Kernel:  # fmt: skip
    name = f"torch {str(dtype).removeprefix('torch.')}"
    return Kernel(lambda t: (call(t),), raw, name, reason, raw.magnitude, is_fresh=is_fresh)


def _chained(x: Operand, chain: Chain) -> Kernel:
    """Return a kernel that is one chain; an idle one hands its input through."""
    is_fresh = bool(chain.segments) or chain.dtype != x.stored
    return _kernel(chain, chain.result, chain.dtype, is_fresh=is_fresh)


def build_clip(task: Task) -> Kernel:
    """Return relu or clip as a clamp."""
    x, a = _variable(task), task.attributes
    lo, hi = (a["lo"], a["hi"]) if task.op is Op.CLIP else (0, None)
    return _chained(x, compile_steps((*x.steps, Clamp(lo, hi)), x.source))


def build_abs(task: Task) -> Kernel:
    """Return the magnitude."""
    x = _variable(task)
    low = 0 if x.values.lo <= 0 <= x.values.hi else min(abs(x.values.lo), abs(x.values.hi))
    raw = whole(Range(low, x.values.magnitude))
    dtype = task.working(raw, x.values)
    fetch = x.fetch(dtype)
    return _kernel(lambda t: fetch(t).abs(), raw, dtype)


def build_leaky_relu(task: Task) -> Kernel:
    """Return ``positive`` steps where x ≥ 0 and ``negative`` steps elsewhere."""
    x = _variable(task)
    return _two_sided(task, x, None, clamp(x.values, None, 0))


def build_prelu(task: Task) -> Kernel:
    """Return as `build_leaky_relu`, with ``negative`` steps on x · slope."""
    x, slope = _variable(task), task.operands[1]
    if slope.constant is None:
        raise UnprovableError("the slope is a variable")
    below = corners(lambda a, b: a * b, clamp(x.values, None, 0), slope.values)
    return _two_sided(task, x, slope, whole(below))


def _two_sided(task: Task, x: Operand, slope: Operand | None, below: Range) -> Kernel:
    above = clamp(x.values, 0, None)
    # Both sides are computed everywhere, each on its own half of the values.
    positive = compile_steps(tuple(task.attributes.get("positive", ())), above)
    negative = compile_steps(tuple(task.attributes["negative"]), below)
    raw = hull((positive.result, negative.result))
    dtype = working_type(hull((raw, x.values, below, slope.values if slope else raw)))
    fetch = x.fetch(dtype)
    ones = (1,) * (len(x.shape) - 1)
    factor = slope.tensor(dtype).reshape(-1, *ones) if slope else None

    def call(tensor: Tensor) -> Tensor:
        value = fetch(tensor)
        kept, rest = value.clamp(min=0), value.clamp(max=0)
        rest = rest if factor is None else rest.mul_(factor)
        return torch.where(
            value >= 0, positive(kept, owned=True).to(dtype), negative(rest, owned=True).to(dtype)
        )

    return _kernel(call, raw, dtype)


def build_hard_sigmoid(task: Task) -> Kernel:
    """Return ``clamp(x + three, 0, six)``."""
    x = _variable(task)
    return _chained(x, compile_steps((*x.steps, *_gate(task, ())), x.source))


def build_hard_swish(task: Task) -> Kernel:
    """Return ``x · gate(clamp(x + three, 0, six))``."""
    x = _variable(task)
    gate = compile_steps(_gate(task, tuple(task.attributes.get("gate", ()))), x.values)
    raw = whole(corners(lambda a, b: a * b, x.values, gate.result))
    dtype = working_type(hull((raw, x.values, gate.result)))
    fetch = x.fetch(dtype)

    def call(tensor: Tensor) -> Tensor:
        value = fetch(tensor)
        return value * gate(value).to(dtype)

    return _kernel(call, raw, dtype)


def _gate(task: Task, rest: Steps) -> Steps:
    three, six = int(task.attributes["three"]), int(task.attributes["six"])
    return (Add(three), Clamp(0, six), *rest)


def build_table(task: Task) -> Kernel:
    """Return ``table[x − lowest]``; every index is proven to exist."""
    x, table, lowest = _variable(task), task.operands[1].constant, int(task.attributes["lowest"])
    if table is None:
        raise UnprovableError("the table is a variable")
    raw = of_lookup(table, lowest, x.values)
    dtype = storage_type(raw)
    entries = lookup_pass(table, lowest)(working_type(of_array(table)))
    fetch = x.fetch(torch.int64)
    return _kernel(lambda t: entries(fetch(t), None), raw, dtype, "every index exists")
