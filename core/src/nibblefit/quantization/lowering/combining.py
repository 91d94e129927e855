"""Operators that bring several tensors to one scale: sums, concatenation, bitwise words."""

from __future__ import annotations

from nibblefit.fixed.steps import Clamp, Mul, ShiftRight, Steps
from nibblefit.quantization.align import align, common_scale, sum_bits
from nibblefit.quantization.factors import Factor, rescale, without_zero
from nibblefit.quantization.lowering.context import Lowering
from nibblefit.quantization.units import Output, Unit


def elementwise(lowering: Lowering, unit: Unit) -> None:
    """Lower a sum or difference: exact alignment, exact sum, one rounding."""
    rule = lowering.requant(unit)
    operands = [lowering.operand(unit, place) for place in range(len(unit.node.inputs))]
    given = lowering.numerics.multipliers.sums.get(lowering.output(unit).bits)
    scale = common_scale(operands, sum_bits(lowering.numerics), given)
    axis = next((operand.axis for operand in operands if operand.axis is not None), None)
    common = Factor.of_scale(scale, axis, lowering.rank(unit))
    input_steps = [
        (*without_zero(operand), *align(lowering.factor(operand, unit), common, rule.rounding))
        for operand in operands
    ]
    steps: Steps = ()
    if unit.output is not Output.RAW:
        out = lowering.factor(lowering.output(unit), unit)
        steps = rescale(common / out, rule, unit.node.name)
    lowering.add(unit, input_steps=input_steps, steps=(*steps, *lowering.finish(unit)), sums=True)


def concat(lowering: Lowering, unit: Unit) -> None:
    """Lower a concatenation: every input moves to the output's format by itself."""
    lowering.add(unit, input_steps=_to_output(lowering, unit))


def bitwise(lowering: Lowering, unit: Unit) -> None:
    """Lower OR and XOR of codes in one common format."""
    fmt = lowering.output(unit)
    lowering.add(unit, input_steps=_to_output(lowering, unit), steps=(Clamp(fmt.lo, fmt.hi),))


def _to_output(lowering: Lowering, unit: Unit) -> list[Steps]:
    out = lowering.output(unit)
    found: list[Steps] = []
    for place in range(len(unit.node.inputs)):
        operand = lowering.operand(unit, place)
        if operand == out:
            found.append(())
            continue
        factor = lowering.factor(operand, unit) / lowering.factor(out, unit)
        scaled = _aligned(lowering, factor, unit)
        found.append((*without_zero(operand), *scaled, *lowering.saturated(unit)))
    return found


def _aligned(lowering: Lowering, factor: Factor, unit: Unit) -> Steps:
    """Return the steps to the output's scale, by a multiplier of fixed precision where given."""
    rule, given = lowering.requant(unit), lowering.numerics.multipliers.concatenations
    bits = given.get(lowering.output(unit).bits)
    if bits is None or Factor.of(factor.values).exponents is not None:
        return rescale(factor, rule, unit.node.name)
    return (Mul(round(float(factor.values) * 2.0**bits)), ShiftRight(bits, rule.rounding))
