"""Hard sigmoid and hard swish by an integer factor, where the target has one for one sixth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import FloatArray, Format, Rounding, Scale
from nibblefit.fixed.quantize import dequantize, quantize
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
        gate = _gate_format(rule)
        into = lowering.requant(unit)
        into = replace(into, rounding=rule.rounding or into.rounding)
        scaled = rescale(sixth / Factor.of_scale(gate.scale), into, node.name)
        attributes["gate"] = (Mul(rule.multiplier), *scaled, Clamp(gate.lo, gate.hi))
        product = lowering.factor(x, unit) * Factor.of_scale(gate.scale) / out
        steps = rescale(product, lowering.requant(unit), node.name)
    lowering.add(unit, attributes=attributes, input_steps=[without_zero(x)],
                 steps=(*steps, *lowering.saturated(unit)))  # fmt: skip


def gate_values(node: Node, x: FloatArray, rule: GateRule, usual: Rounding) -> FloatArray:
    """Return what HARD_SIGMOID or HARD_SWISH make of real numbers, before the last rounding.

    Args:
        node: The layer.
        x: Real inputs.
        rule: The target's factor.
        usual: Rounding of a gate where the rule names none.

    Raises:
        UnsupportedError: The function is another one.
    """
    _check_function(node)
    gate = np.asarray(np.clip(x + 3.0, 0.0, 6.0) * (rule.multiplier * 2.0**-rule.shift))
    if node.op is Op.HARD_SIGMOID:
        return gate
    fmt = _gate_format(rule)
    return np.asarray(x * dequantize(quantize(gate, fmt, rule.rounding or usual), fmt))


def _gate_format(rule: GateRule) -> Format:
    return Format(rule.bits, True, Scale.power_of_two(rule.frac))


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
    _check_function(node)
    return int(3 << frac)


def _check_function(node: Node) -> None:
    slope = (float(node.attributes.get("alpha", 1 / 6)), float(node.attributes.get("beta", 0.5)))
    if node.op is Op.HARD_SIGMOID and (abs(slope[0] - 1 / 6) > 1e-6 or slope[1] != 0.5):
        raise UnsupportedError(
            f"layer '{node.name}' (hard_sigmoid) has slope {slope[0]:g} and offset {slope[1]:g}; "
            "the target computes clip(x / 6 + 1/2, 0, 1) only",
            hint="use slope 1/6 and offset 1/2",
        )
