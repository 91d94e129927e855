"""Operators that keep their input's format: movers, padding, bilinear resizing."""

from __future__ import annotations

import numpy as np

from nibblefit.fixed.steps import ShiftRight, Steps
from nibblefit.quantization.factors import Factor, rescale, without_zero
from nibblefit.quantization.lowering.context import Lowering
from nibblefit.quantization.units import Unit

#: Fractional bits of interpolation weights where the accumulator has room; 2^-11 of a step is
#: far below the final rounding.
_WEIGHT_BITS = 11


def move(lowering: Lowering, unit: Unit) -> None:
    """Lower an operator that moves codes; where its output has another format, they follow it."""
    lowering.add(unit, steps=_followed(lowering, unit))


def _followed(lowering: Lowering, unit: Unit) -> Steps:
    """Return the steps from the input's codes to the output's; none if the formats are equal.

    All of them act behind the operator: what a pool leaves out must not be shifted.
    """
    fmt = lowering.operand(unit)
    if fmt == lowering.output(unit):
        return ()
    factor = lowering.factor(fmt, unit) / lowering.factor(lowering.output(unit), unit)
    scaled = rescale(factor, lowering.requant(unit), unit.node.name)
    return (*without_zero(fmt), *scaled, *lowering.saturated(unit))


def pad(lowering: Lowering, unit: Unit) -> None:
    """Lower padding; the padded value saturates to the input's format."""
    fmt = lowering.operand(unit)
    real = float(unit.node.attributes.get("value", 0.0))
    code = np.rint(real / fmt.scale.values()[0]) + fmt.zero_point[0]
    value = int(np.clip(code, fmt.lo, fmt.hi))
    attributes = {**unit.node.attributes, "value": value}
    lowering.add(unit, attributes=attributes, steps=_followed(lowering, unit))


def resize_bilinear(lowering: Lowering, unit: Unit) -> None:
    """Lower bilinear resizing: integer weights, then one rounding."""
    fmt = lowering.operand(unit)
    axes = lowering.rank(unit) - 1
    room = lowering.numerics.accumulator.bits - fmt.bits - 2
    bits = max(1, min(_WEIGHT_BITS, room // axes))
    lowering.add(
        unit,
        attributes={**unit.node.attributes, "weight_bits": bits},
        input_steps=[without_zero(fmt)],
        steps=_blended(lowering, unit, bits * axes),
        sums=True,
    )


def _blended(lowering: Lowering, unit: Unit, bits: int) -> Steps:
    """Return the steps from a sum with `bits` more fractional bits to the output's codes."""
    fmt, out, rule = lowering.operand(unit), lowering.output(unit), lowering.requant(unit)
    if fmt == out:
        return (ShiftRight(bits, rule.rounding), *lowering.saturated(unit))
    factor = lowering.factor(fmt, unit) / lowering.factor(out, unit) * Factor.of(2.0**-bits)
    return (*rescale(factor, rule, unit.node.name), *lowering.saturated(unit))
