"""Rectifiers that stand alone, and those with a slope of their own on each side of zero."""

from __future__ import annotations

from nibblefit.ir.ops import Op
from nibblefit.quantization.factors import Factor, rescale, without_zero
from nibblefit.quantization.lowering.context import Lowering, rectified
from nibblefit.quantization.units import Unit


def rectify(lowering: Lowering, unit: Unit) -> None:
    """Lower RELU, CLIP and ABS: the integer operator on the input, then requantization.

    Bounds of CLIP act in the output's codes, where they are finest.
    """
    node, x, out = unit.node, lowering.operand(unit), lowering.output(unit)
    factor = lowering.factor(x, unit) / lowering.factor(out, unit)
    scaled = rescale(factor, lowering.requant(unit), node.name)
    bounds = rectified((node,), out) if node.op is not Op.ABS else (None, None)
    attributes = {"lo": None, "hi": None} if node.op is Op.CLIP else {}
    lowering.add(unit, op=node.op, attributes=attributes, input_steps=[without_zero(x)],
                 steps=(*scaled, *lowering.saturated(unit, *bounds)))  # fmt: skip


def leaky(lowering: Lowering, unit: Unit) -> None:
    """Lower LEAKY_RELU and PRELU: each side of zero has its own factor to the output."""
    node, rule = unit.node, lowering.requant(unit)
    x, out = lowering.operand(unit), lowering.output(unit)
    positive = lowering.factor(x, unit) / lowering.factor(out, unit)
    input_steps = [without_zero(x)]
    if node.op is Op.LEAKY_RELU:
        negative = positive * Factor.of(float(node.attributes["slope"]))
    else:
        slope = lowering.operand(unit, 1)
        negative = positive * Factor.of_scale(slope.scale)
        input_steps.append(without_zero(slope))
    lowering.add(
        unit,
        attributes={
            "negative": rescale(negative, rule, node.name),
            "positive": rescale(positive, rule, node.name),
        },
        input_steps=input_steps,
        steps=lowering.saturated(unit),
    )
