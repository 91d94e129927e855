"""Hard sigmoid and hard swish by an integer factor, where the target has one for one sixth."""

from __future__ import annotations

from typing import Any

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import Format, Scale
from nibblefit.fixed.steps import Clamp, Mul, Steps
from nibblefit.ir.graph import Node
from nibblefit.ir.numerics import GateRule
from nibblefit.ir.ops import Op
from nibblefit.quantization.factors import Factor, rescale, without_zero
from nibblefit.quantization.lowering.context import Lowering
from nibblefit.quantization.units import Unit


def gated(lowering: Lowering, unit: Unit, rule: GateRule) -> None:
    """Lower HARD_SIGMOID and HARD_SWISH; see `nibblefit.ir.numerics.GateRule`."""
    node, x = unit.node, lowering.operand(unit)
    three = _three(node, x)
    attributes: dict[str, Any] = {"three": three, "six": 2 * three}
    sixth = lowering.factor(x, unit) * Factor.of(2.0**-rule.shift)
    out = lowering.factor(lowering.output(unit), unit)
    steps: Steps
    if node.op is Op.HARD_SIGMOID:
        steps = (Mul(rule.multiplier), *rescale(sixth / out, lowering.requant(unit), node.name))
    else:
        gate = Format(rule.bits, True, Scale.power_of_two(rule.frac))
        scaled = rescale(sixth / Factor.of_scale(gate.scale), lowering.requant(unit), node.name)
        attributes["gate"] = (Mul(rule.multiplier), *scaled, Clamp(gate.lo, gate.hi))
        product = lowering.factor(x, unit) * Factor.of_scale(gate.scale) / out
        steps = rescale(product, lowering.requant(unit), node.name)
    lowering.add(unit, attributes=attributes, input_steps=[without_zero(x)],
                 steps=(*steps, *lowering.saturated(unit)))  # fmt: skip


def _three(node: Node, x: Format) -> int:
    """Return the number 3 in steps of the input.

    Raises:
        UnsupportedError: It is no whole number, or the function is another one.
    """
    frac = x.scale.frac[0] if x.scale.frac is not None else -1
    if frac < 0:
        raise UnsupportedError(
            f"layer '{node.name}' ({node.op.value}) reads steps of "
            f"{float(x.scale.values()[0]):g}, in which 3 is no whole number",
            hint="give its input a power-of-two scale with 0 or more fractional bits",
        )
    slope = (float(node.attributes.get("alpha", 1 / 6)), float(node.attributes.get("beta", 0.5)))
    if node.op is Op.HARD_SIGMOID and (abs(slope[0] - 1 / 6) > 1e-6 or slope[1] != 0.5):
        raise UnsupportedError(
            f"layer '{node.name}' (hard_sigmoid) has slope {slope[0]:g} and offset {slope[1]:g}; "
            "the target computes clip(x / 6 + 1/2, 0, 1) only",
            hint="use slope 1/6 and offset 1/2",
        )
    return int(3 << frac)
