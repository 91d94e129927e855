"""Average pools: an exact sum, divided with one stated rounding."""

from __future__ import annotations

import math

import numpy as np

from nibblefit.fixed.formats import IntArray
from nibblefit.fixed.operators.pooling import window_counts
from nibblefit.fixed.steps import Divide, Mul, Steps, int_param
from nibblefit.ir.attributes import window_of
from nibblefit.ir.graph import Node
from nibblefit.ir.numerics import Multipliers
from nibblefit.ir.ops import Op
from nibblefit.quantization.factors import Factor, divided, rescale, without_zero
from nibblefit.quantization.lowering.context import Lowering
from nibblefit.quantization.units import Output, Unit


def average(lowering: Lowering, unit: Unit) -> None:
    """Lower a windowed or global average."""
    x, numerics = lowering.operand(unit), lowering.numerics
    divisor = _divisor(lowering, unit)
    pooling = lowering.rounding(unit, numerics.pooling)
    steps: Steps
    if unit.output is Output.KEPT:
        steps = (Divide(int_param(divisor), pooling),)
    else:
        factor = lowering.factor(x, unit) / lowering.factor(lowering.output(unit), unit)
        scaled = _scaled(lowering, unit, divisor)
        if scaled is None:
            steps = divided(factor, divisor, pooling, lowering.requant(unit), unit.node.name)
        else:
            finer = Factor(factor.values * 2.0 ** -scaled[1])
            steps = (Mul(int_param(scaled[0])),
                     *rescale(finer, lowering.requant(unit), unit.node.name))  # fmt: skip
    lowering.add(unit, input_steps=[without_zero(x)], steps=(*steps, *lowering.finish(unit)),
                 sums=True)  # fmt: skip


def _scaled(lowering: Lowering, unit: Unit,
            divisor: int | IntArray) -> tuple[int | IntArray, int] | None:  # fmt: skip
    """Return multiplier and shift of the window's reciprocal; None where it is divided by."""
    given = lowering.assignment.reciprocals.get(unit.node.name)
    if given is not None:
        # Windows that reach beyond the edge average fewer values, with the same shift.
        return (given[0] if isinstance(divisor, int) else reciprocal(divisor, given[1])), given[1]
    width = lowering.output(unit).bits
    bits = reciprocal_bits(unit.node, lowering.numerics.multipliers, width)
    return None if bits is None else (reciprocal(divisor, bits), bits)


def reciprocal_bits(node: Node, multipliers: Multipliers, width: int) -> int | None:
    """Return the fractional bits of an average's reciprocal, None where the target has none."""
    kernel = tuple(node.attributes.get("kernel", ()))
    strides = tuple(node.attributes.get("strides", ()))
    return multipliers.windows.get((kernel, strides), multipliers.averages.get(width))


def reciprocal(divisor: int | IntArray, bits: int) -> int | IntArray:
    """Return ``round(2^bits / divisor)``, at least 1: the code of a window's reciprocal."""
    codes = np.maximum(np.rint(2.0**bits / np.asarray(divisor, np.float64)), 1).astype(np.int64)
    return int(codes) if codes.ndim == 0 else codes


def _divisor(lowering: Lowering, unit: Unit) -> int | IntArray:
    """Return how many values each window averages: an int, or an array (1, *spatial)."""
    sizes = lowering.shape(unit.node.inputs[0])[1:]
    if unit.node.op is Op.GLOBAL_AVG_POOL:
        return math.prod(sizes)
    attributes = unit.node.attributes
    window = window_of(attributes, tuple(attributes["kernel"]))
    counts = window_counts(sizes, window, bool(attributes.get("count_include_pad", False)))
    if counts.min() == counts.max():
        return int(counts.flat[0])
    return counts[None]
