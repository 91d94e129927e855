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
        scaled, given = _scaled(lowering, unit, divisor), _corrected(lowering, unit, divisor)
        if given is not None:
            finer = factor * Factor.of(2.0 ** -given[1])
            steps = (Mul(given[0]), *divided(finer, divisor, pooling, lowering.requant(unit),
                                             unit.node.name))  # fmt: skip
        elif scaled is None:
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
        return given
    width = lowering.output(unit).bits
    bits = reciprocal_bits(unit.node, lowering.numerics.multipliers, width)
    return None if bits is None else (reciprocal(divisor, bits), bits)


def _corrected(lowering: Lowering, unit: Unit,
               divisor: int | IntArray) -> tuple[int, int] | None:  # fmt: skip
    """Return multiplier and shift on exact means, where windows do not all have the kernel's size.

    A stated reciprocal is that of the kernel; a window that reaches beyond the edge is divided by
    the number of its values, and keeps the error that the reciprocal leaves of 1 / kernel.
    """
    given = lowering.assignment.reciprocals.get(unit.node.name)
    whole = math.prod(unit.node.attributes.get("kernel", ()))
    uniform = isinstance(divisor, int) and divisor == whole
    if given is None or uniform or unit.node.op is Op.GLOBAL_AVG_POOL:
        return None
    return given[0] * whole, given[1]


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
