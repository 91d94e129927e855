"""Operators that keep their input's format: movers, padding, bilinear resizing."""

from __future__ import annotations

import numpy as np

from nibblefit.fixed.steps import ShiftRight
from nibblefit.quantization.factors import finish, without_zero
from nibblefit.quantization.lowering.context import Lowering
from nibblefit.quantization.units import Unit

#: Fractional bits of interpolation weights where the accumulator has room; 2^-11 of a step is
#: far below the final rounding.
_WEIGHT_BITS = 11


def move(lowering: Lowering, unit: Unit) -> None:
    """Lower an operator that never changes a code."""
    lowering.add(unit)


def pad(lowering: Lowering, unit: Unit) -> None:
    """Lower padding; the padded value saturates to the input's format."""
    fmt = lowering.operand(unit)
    real = float(unit.node.attributes.get("value", 0.0))
    code = np.rint(real / fmt.scale.values()[0]) + fmt.zero_point[0]
    value = int(np.clip(code, fmt.lo, fmt.hi))
    lowering.add(unit, attributes={**unit.node.attributes, "value": value})


def resize_bilinear(lowering: Lowering, unit: Unit) -> None:
    """Lower bilinear resizing: integer weights, then one rounding shift."""
    fmt = lowering.operand(unit)
    axes = lowering.rank(unit) - 1
    room = lowering.numerics.accumulator.bits - fmt.bits - 2
    bits = max(1, min(_WEIGHT_BITS, room // axes))
    lowering.add(
        unit,
        attributes={**unit.node.attributes, "weight_bits": bits},
        input_steps=[without_zero(fmt)],
        steps=(ShiftRight(bits * axes, lowering.numerics.requant.rounding), *finish(fmt)),
        sums=True,
    )
