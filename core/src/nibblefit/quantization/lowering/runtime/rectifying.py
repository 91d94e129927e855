"""Rectifiers: bounds move with the frame's scale, everything else keeps it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import Format, Scale
from nibblefit.fixed.steps import Add, Clamp, Steps
from nibblefit.ir.numerics import Requantization
from nibblefit.ir.ops import Op
from nibblefit.quantization.factors import Factor, finish, rescale, without_zero
from nibblefit.quantization.lowering.runtime.context import REACH, RuntimeLowering, Wide
from nibblefit.quantization.units import Unit


def below_bound(lowering: RuntimeLowering, unit: Unit, x: Wide, bound: float,
                fmt: Format) -> str:  # fmt: skip
    """Return the smaller of a tensor and a real bound, by name.

    The bound is a constant, finer than any scale the tensor can have, that is shifted by the
    tensor's exponent.
    """
    steps = max(1, round(bound / x.step * 2.0**REACH))
    if steps.bit_length() > 60:
        raise UnsupportedError(
            f"layer '{unit.layer}' has an upper bound of {bound:g} over steps of {x.step:g}",
            hint="its weights or values are extremely small; rescale the layer",
        )
    finest = Format(steps.bit_length() + 1, True, Scale.real(x.step * 2.0**-REACH))
    constant = lowering.declare_constant(f"{unit.node.name}:bound", np.array([steps]), finest)
    wide = Format(62, True, fmt.scale)
    shape = lowering.tensors[x.name].shape
    axes = (1,) * len(shape)
    base = f"{unit.node.name}:limit"
    if x.exponent:
        limit = lowering.shifted(unit, constant, x.exponent, base, wide, shape=(1,),
                                 amount_steps=(Add(REACH),))  # fmt: skip
        limit = lowering.node(unit, Op.RESHAPE, [limit], f"{base}:shaped", wide, shape=axes,
                              attributes={"shape": axes})  # fmt: skip
        excess = lowering.node(unit, Op.SUB, [x.name, limit], f"{base}:excess", wide, shape=shape,
                               steps=(Clamp(0, None),))  # fmt: skip
        return lowering.node(unit, Op.SUB, [x.name, excess], f"{base}:kept", fmt, shape=shape,
                             steps=(Clamp(fmt.lo, fmt.hi),))  # fmt: skip
    highest = math.floor(bound / x.step + 0.5)
    return lowering.node(unit, Op.IDENTITY, [x.name], f"{base}:kept", fmt, shape=shape,
                         steps=(Clamp(fmt.lo, min(highest, fmt.hi)),))  # fmt: skip


def relu(lowering: RuntimeLowering, unit: Unit) -> None:
    """Lower a rectifier that stands alone: codes below zero become zero, the scale stays."""
    _kept(lowering, unit, Clamp(0, lowering.output(unit).hi))


def clip(lowering: RuntimeLowering, unit: Unit) -> None:
    """Lower a rectifier with an upper bound that stands alone.

    Raises:
        UnsupportedError: Its lower bound is not zero.
    """
    lo, hi = unit.node.attributes.get("lo"), unit.node.attributes.get("hi")
    if lo != 0:
        raise UnsupportedError(
            f"layer '{unit.node.name}' (clip) has the lower bound {lo}; with scales that change "
            "from frame to frame it must be 0",
            hint="use relu or relu6",
        )
    name = unit.node.inputs[0]
    if hi is not None:
        x = Wide(name, lowering.step_of(name), lowering.exponents.get(name, ""))
        fmt = lowering.tensors[name].format
        name = below_bound(lowering, unit, x, float(hi), fmt)
    _kept(lowering, unit, Clamp(0, lowering.output(unit).hi), name)


def _kept(lowering: RuntimeLowering, unit: Unit, clamp: Clamp, x: str = "") -> None:
    """Add a node that clamps codes of the unit's input and keeps their scale."""
    source, output = unit.node.inputs[0], unit.tensors[0]
    fmt = replace(lowering.output(unit), scale=lowering.tensors[source].format.scale)
    lowering.node(unit, Op.IDENTITY, [x or source], output, fmt,
                  shape=lowering.graph.shapes[output], steps=(clamp,),
                  name=unit.node.name)  # fmt: skip
    lowering.assignment.tensors[output] = fmt
    if source in lowering.exponents:
        lowering.exponents[output] = lowering.exponents[source]


def leaky(lowering: RuntimeLowering, unit: Unit) -> None:
    """Lower a rectifier with a slope below zero; the scale stays that of the input."""
    node, source, output = unit.node, unit.node.inputs[0], unit.tensors[0]
    given = lowering.tensors[source].format
    fmt = replace(lowering.output(unit), scale=given.scale)
    lowering.assignment.tensors[output] = fmt
    rule = replace(lowering.numerics.requant, kind=Requantization.SHIFT)
    names = lowering.inputs(node)
    input_steps: list[Steps] = [()]
    if node.op is Op.LEAKY_RELU:
        slope = Factor.of(float(node.attributes["slope"]))
    else:
        constant = lowering.operand(unit, 1)
        slope = Factor.of_scale(constant.scale)
        input_steps.append(without_zero(constant))
    lowering.node(
        unit, node.op, names, output, fmt, shape=lowering.graph.shapes[output],
        attributes={"negative": rescale(slope, rule, node.name), "positive": ()},
        input_steps=input_steps, steps=finish(fmt), name=node.name,
    )  # fmt: skip
    if source in lowering.exponents:
        lowering.exponents[output] = lowering.exponents[source]
