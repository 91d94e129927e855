"""Sums, concatenations and averages of tensors whose scales change from frame to frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from nibblefit.fixed.formats import Format, IntArray, Scale
from nibblefit.fixed.operators.pooling import window_counts
from nibblefit.fixed.steps import Add, Clamp, Mul, ShiftRight, Steps, int_param
from nibblefit.ir.attributes import window_of
from nibblefit.ir.ops import Op
from nibblefit.quantization.lowering.runtime.context import LEGAL, SMALL, RuntimeLowering, Wide
from nibblefit.quantization.lowering.runtime.products import finish
from nibblefit.quantization.units import Unit

#: Fractional bits of the multipliers that align operands, where the target states none.
_ALIGN_BITS = 15


def total(lowering: RuntimeLowering, unit: Unit) -> None:
    """Lower a sum or difference: operands meet at the coarsest scale, with bits to spare."""
    node, names = unit.node, lowering.inputs(unit.node)
    out = lowering.output(unit)
    bits = lowering.numerics.multipliers.sums.get(out.bits, _ALIGN_BITS)
    coarsest = max(lowering.step_of(name) for name in names)
    exponent = lowering.largest_exponent(unit, [lowering.exponents.get(n, "") for n in names])
    common = _Common(coarsest, exponent, bits)
    aligned = [_aligned(lowering, unit, place, common) for place in range(len(names))]
    wide = Format(lowering.numerics.accumulator.bits, True, Scale.real(coarsest * 2.0**-bits))
    sums = lowering.node(unit, node.op, aligned, f"{node.name}:sums", wide,
                         shape=lowering.graph.shapes[node.output],
                         accumulator=lowering.numerics.accumulator, name=node.name)  # fmt: skip
    finish(lowering, unit, Wide(sums, coarsest * 2.0**-bits, exponent))


def concat(lowering: RuntimeLowering, unit: Unit) -> None:
    """Lower a concatenation: every part moves to the coarsest scale among them."""
    node, names, output = unit.node, lowering.inputs(unit.node), unit.tensors[0]
    out = lowering.output(unit)
    bits = lowering.numerics.multipliers.concatenations.get(out.bits, _ALIGN_BITS)
    coarsest = max(lowering.step_of(name) for name in names)
    exponent = lowering.largest_exponent(unit, [lowering.exponents.get(n, "") for n in names])
    fmt = replace(out, scale=Scale.real(coarsest), zero_point=(0,), axis=None)
    common = _Common(coarsest, exponent, bits, bits, fmt)
    parts = [_aligned(lowering, unit, place, common) for place in range(len(names))]
    lowering.node(unit, Op.CONCAT, parts, output, fmt, shape=lowering.graph.shapes[output],
                  attributes=node.attributes, name=node.name)  # fmt: skip
    lowering.assignment.tensors[output] = fmt
    if exponent:
        lowering.exponents[output] = exponent


@dataclass(frozen=True, slots=True)
class _Common:
    """The scale at which operands meet.

    Attributes:
        coarsest: Largest step among the operands.
        exponent: Largest exponent among them, empty if all scales are fixed.
        bits: Fractional bits of the multipliers.
        drop: How many of them a rounding shift removes again.
        fmt: Format of aligned operands where they are codes, not terms of a sum.
    """

    coarsest: float
    exponent: str
    bits: int
    drop: int = 0
    fmt: Format | None = None


def _aligned(lowering: RuntimeLowering, unit: Unit, place: int, common: _Common) -> str:
    """Return an operand in units of ``coarsest · 2^(drop − bits)`` at the common exponent."""
    name = lowering.inputs(unit.node)[place]
    coarsest, exponent, bits = common.coarsest, common.exponent, common.bits
    drop, fmt = common.drop, common.fmt
    given = lowering.tensors[name].format
    multiplier = round(lowering.step_of(name) / coarsest * 2.0**bits)
    wide = fmt or Format(62, True, Scale.real(coarsest * 2.0 ** (drop - bits)))
    clamp = Clamp(wide.lo, wide.hi) if fmt else None
    own = lowering.exponents.get(name, "")
    is_constant = name in lowering.constants
    shape = tuple(lowering.constants[name].shape) if is_constant else lowering.tensors[name].shape
    lift = (Mul(multiplier),)
    output = f"{unit.node.name}:operand{place}"
    if own == exponent:
        rounding = lowering.numerics.requant.rounding
        steps: Steps = (
            *((ShiftRight(drop, rounding),) if drop else ()),
            *((clamp,) if clamp else ()),
        )
        if multiplier == 1 << drop and fmt is not None and _inside(given, fmt):
            return name
        return lowering.node(unit, Op.IDENTITY, [name], output, wide, shape=shape,
                             input_steps=[lift], steps=steps)  # fmt: skip
    amount = lowering.distance(unit, exponent, own, place)
    further = lowering.node(unit, Op.IDENTITY, [amount], f"{output}:amount", SMALL,
                            steps=(Add(drop), LEGAL)) if drop else amount  # fmt: skip
    return lowering.shifted(unit, name, further, output, wide, shape=shape, clamp=clamp,
                            x_steps=lift)  # fmt: skip


def _inside(given: Format, fmt: Format) -> bool:
    return fmt.lo <= given.lo and given.hi <= fmt.hi


def average(lowering: RuntimeLowering, unit: Unit) -> None:
    """Lower an average: an exact sum whose unit is the input's step over the window's size.

    Where windows at the border count fewer values, sums are multiplied up to one common size.
    """
    node, name = unit.node, unit.node.inputs[0]
    counts = _counts(lowering, unit)
    common = int(np.lcm.reduce(counts.reshape(-1)))
    weights = common // counts
    steps: Steps = ()
    if int(weights.max()) > 1:
        steps = (Mul(int_param(weights)),)
    step = lowering.step_of(name) / common
    shape = lowering.graph.shapes[node.output]
    wide = Format(lowering.numerics.accumulator.bits, True, Scale.real(step))
    sums = lowering.node(unit, node.op, [name], f"{node.name}:sums", wide, shape=shape,
                         attributes=node.attributes, steps=steps,
                         accumulator=lowering.numerics.accumulator, name=node.name)  # fmt: skip
    finish(lowering, unit, Wide(sums, step, lowering.exponents.get(name, "")))


def _counts(lowering: RuntimeLowering, unit: Unit) -> IntArray:
    """Return how many values each window averages, (1, *spatial)."""
    sizes = lowering.graph.shapes[unit.node.inputs[0]][1:]
    if unit.node.op is Op.GLOBAL_AVG_POOL:
        return np.full((1,) * (len(sizes) + 1), math.prod(sizes), np.int64)
    attributes = unit.node.attributes
    window = window_of(attributes, tuple(attributes["kernel"]))
    counts = window_counts(sizes, window, bool(attributes.get("count_include_pad", False)))
    return np.asarray(counts, np.int64)[None]
