"""Average pools: an exact sum, divided with one stated rounding."""

from __future__ import annotations

import math

from nibblefit.fixed.formats import IntArray
from nibblefit.fixed.operators.pooling import window_counts
from nibblefit.fixed.steps import Divide, Steps, int_param
from nibblefit.ir.attributes import window_of
from nibblefit.ir.ops import Op
from nibblefit.quantization.factors import divided, without_zero
from nibblefit.quantization.lowering.context import Lowering
from nibblefit.quantization.units import Output, Unit


def average(lowering: Lowering, unit: Unit) -> None:
    """Lower a windowed or global average."""
    x, numerics = lowering.operand(unit), lowering.numerics
    divisor = _divisor(lowering, unit)
    steps: Steps
    if unit.output is Output.KEPT:
        steps = (Divide(int_param(divisor), numerics.pooling),)
    else:
        factor = lowering.factor(x, unit) / lowering.factor(lowering.output(unit), unit)
        steps = divided(factor, divisor, numerics.pooling, numerics.requant, unit.node.name)
    lowering.add(unit, input_steps=[without_zero(x)], steps=(*steps, *lowering.finish(unit)),
                 sums=True)  # fmt: skip


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
