"""Convolutions, linear layers and element-by-element products."""

from __future__ import annotations

import math

import numpy as np

from nibblefit.fixed.formats import Format, IntArray, Scale
from nibblefit.fixed.steps import Add, Clamp, Mul, ShiftLeft, ShiftRight, Steps
from nibblefit.ir.ops import Op
from nibblefit.quantization.factors import without_zero
from nibblefit.quantization.lowering.runtime.context import REACH, RuntimeLowering, Wide
from nibblefit.quantization.lowering.runtime.rectifying import below_bound
from nibblefit.quantization.units import Unit

#: Width of the multiplier that brings a bias to its input's scale.
_BIAS_MULTIPLIER_BITS = 15
_MOST_SHIFT = 62


def affine(lowering: RuntimeLowering, unit: Unit) -> None:
    """Lower a layer with weights: products and bias in one sum, shifted by its frame's amount."""
    node = unit.node
    names = list(lowering.inputs(node))
    x, weights = lowering.operand(unit, 0), lowering.operand(unit, 1)
    exponent = lowering.exponents.get(names[0], "")
    input_steps: list[Steps] = [without_zero(x), without_zero(weights)]
    if len(names) > 2:
        names[2], steps = _bias(lowering, unit, names[2], exponent)
        input_steps.append(steps)
    step = float(x.scale.values()[0]) * float(weights.scale.values()[0])
    wide = Format(lowering.numerics.accumulator.bits, True, Scale.real(step))
    shape = lowering.graph.shapes[node.output]
    lowering.node(unit, node.op, names, _sums(unit), wide, shape=shape, attributes=node.attributes,
                  input_steps=input_steps, accumulator=lowering.numerics.accumulator,
                  name=node.name)  # fmt: skip
    finish(lowering, unit, Wide(_sums(unit), step, exponent))


def scale_offset(lowering: RuntimeLowering, unit: Unit) -> None:
    """Lower a factor and an offset per channel: a product, then a sum."""
    node, source = unit.node, unit.node.inputs[0]
    names = lowering.inputs(node)
    x, scale = lowering.operand(unit, 0), lowering.operand(unit, 1)
    exponent = lowering.exponents.get(source, "")
    shape = lowering.graph.shapes[node.output]
    axes = (-1, *(1,) * (len(shape) - 1))
    factors = lowering.declare_constant(
        f"{node.name}:factors", lowering.constants[names[1]].reshape(axes), scale
    )
    step = float(x.scale.values()[0]) * float(scale.scale.values()[0])
    wide = Format(lowering.numerics.accumulator.bits, True, Scale.real(step))
    product = lowering.node(unit, Op.MUL, [source, factors], f"{node.name}:products", wide,
                            shape=shape, input_steps=[without_zero(x), without_zero(scale)],
                            accumulator=lowering.numerics.accumulator)  # fmt: skip
    offset, steps = _bias(lowering, unit, names[2], exponent)
    if exponent:
        channels = (shape[0], *axes[1:])
        offset = lowering.node(unit, Op.RESHAPE, [offset], f"{node.name}:offsets", wide,
                               shape=channels, attributes={"shape": channels})  # fmt: skip
    else:
        offset = lowering.declare_constant(
            f"{node.name}:offsets", lowering.constants[names[2]].reshape(axes),
            lowering.tensors[names[2]].format,
        )  # fmt: skip
    lowering.node(unit, Op.ADD, [product, offset], _sums(unit), wide, shape=shape,
                  input_steps=[(), steps], accumulator=lowering.numerics.accumulator,
                  name=node.name)  # fmt: skip
    finish(lowering, unit, Wide(_sums(unit), step, exponent))


def multiply(lowering: RuntimeLowering, unit: Unit) -> None:
    """Lower a product of tensors, or of a tensor and a constant."""
    node, names = unit.node, lowering.inputs(unit.node)
    operands = [lowering.operand(unit, place) for place in range(len(names))]
    step = math.prod(float(operand.scale.values()[0]) for operand in operands)
    exponent = lowering.sum_of_exponents(unit, [lowering.exponents.get(n, "") for n in names])
    wide = Format(lowering.numerics.accumulator.bits, True, Scale.real(step))
    lowering.node(unit, Op.MUL, names, _sums(unit), wide, shape=lowering.graph.shapes[node.output],
                  input_steps=[without_zero(operand) for operand in operands],
                  accumulator=lowering.numerics.accumulator, name=node.name)  # fmt: skip
    finish(lowering, unit, Wide(_sums(unit), step, exponent))


def finish(lowering: RuntimeLowering, unit: Unit, sums: Wide) -> None:
    """Bound the sums where a rectifier does, and requantize them."""
    shape = lowering.graph.shapes[unit.tensors[0]]
    bound = upper_bound(unit)
    if bound is not None:
        fmt = lowering.tensors[sums.name].format
        name = below_bound(lowering, unit, sums, bound, fmt)
        sums = Wide(name, sums.step, sums.exponent)
    lowering.requantize(unit, sums, shape)


def upper_bound(unit: Unit) -> float | None:
    """Return the tightest upper bound of the unit's rectifiers, None if it is open."""
    bounds = [node.attributes.get("hi") for node in unit.rectifiers if node.op is Op.CLIP]
    return min((float(bound) for bound in bounds if bound is not None), default=None)


def _sums(unit: Unit) -> str:
    return f"{unit.node.name}:sums"


def _bias(lowering: RuntimeLowering, unit: Unit, name: str, exponent: str) -> tuple[str, Steps]:
    """Return the bias as it joins the sum, and the steps it takes there.

    Bias codes have a scale of their own. A multiplier of 15 bits and a rounding right shift bring
    them to the accumulator's; where the input's scale changes, so does the shift.
    """
    fmt, values = lowering.tensors[name].format, lowering.constants[name]
    x, weights = lowering.operand(unit, 0), lowering.operand(unit, 1)
    unit_of_sum = float(x.scale.values()[0]) * float(weights.scale.values()[0])
    factor = float(fmt.scale.values()[0]) / unit_of_sum
    multiplier, shift = _multiplier(factor, values)
    rule, most = lowering.numerics.requant.rounding, lowering.numerics.accumulator.bits - 1
    clamp = Clamp(-(1 << most), (1 << most) - 1)
    lift: Steps = (Mul(multiplier),) if multiplier != 1 else ()
    if not exponent:
        if shift < 0:
            return name, (*lift, ShiftLeft(-shift), clamp)
        return name, (*lift, *((ShiftRight(shift, rule),) if shift else ()), clamp)
    more = max(0, REACH - shift)  # so that no amount is negative
    steps = (*lift, *((ShiftLeft(more),) if more else ()))
    wide = Format(lowering.numerics.accumulator.bits, True, Scale.real(unit_of_sum))
    moved = lowering.shifted(unit, name, exponent, f"{unit.node.name}:bias", wide,
                             shape=tuple(values.shape), clamp=clamp, x_steps=steps,
                             amount_steps=(Add(shift + more),))  # fmt: skip
    return moved, ()


def _multiplier(factor: float, values: IntArray) -> tuple[int, int]:
    """Return multiplier and right shift whose quotient is `factor` within 2^−15.

    The shift leaves room for `REACH` bits either way.
    """
    mantissa, exponent = math.frexp(factor)
    multiplier = round(mantissa * 2**_BIAS_MULTIPLIER_BITS)
    shift = _BIAS_MULTIPLIER_BITS - exponent
    widest = int(np.abs(values).max(initial=1)).bit_length() + _BIAS_MULTIPLIER_BITS
    # Left shifts beyond 62 bits would saturate in any accumulator; right ones leave nothing.
    shift = max(shift, REACH - (_MOST_SHIFT - widest))
    if shift > _MOST_SHIFT - REACH:
        return 0, _MOST_SHIFT - REACH
    return multiplier, shift
