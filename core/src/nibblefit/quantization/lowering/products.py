"""Convolutions, linear layers and products: sums of products, then one requantization."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from nibblefit.fixed.formats import Format, Rounding
from nibblefit.fixed.steps import Add, Mul, ShiftLeft, Steps, int_param
from nibblefit.ir.numerics import Requantization
from nibblefit.ir.ops import Op
from nibblefit.quantization.align import PRODUCT_BITS, product_scale
from nibblefit.quantization.assign import output_channel_axis
from nibblefit.quantization.factors import Factor, rescale, shift, without_zero
from nibblefit.quantization.lowering.context import Lowering
from nibblefit.quantization.units import Output, Unit

#: A bias that is shifted out altogether is zero, which is legal.
_ANY_SHIFT = (-62, 62)


def affine(lowering: Lowering, unit: Unit) -> None:
    """Lower a layer with weights and an optional bias."""
    x, weights = lowering.operand(unit, 0), lowering.operand(unit, 1)
    scale = product_scale(x.scale, weights.scale)
    input_steps = [
        without_zero(x),
        _weights_without_zero(weights, lowering.shape(unit.node.inputs[1])),
    ]
    if len(unit.node.inputs) > 2:
        bias = lowering.operand(unit, 2)
        sums = Format(64, True, scale, (0,), 0 if len(scale) > 1 else None)
        input_steps.append(_lift(bias, sums, lowering.numerics.bias.drop))
    axis = output_channel_axis(unit.node, lowering.graph)
    accumulator = Factor.of_scale(scale, axis, lowering.rank(unit))
    steps = _requantized(lowering, unit, accumulator, _largest_sum(lowering, unit))
    lowering.add(unit, input_steps=input_steps, steps=steps, sums=True)


def matmul(lowering: Lowering, unit: Unit) -> None:
    """Lower a product of two tensors."""
    _product(lowering, unit)


def multiply(lowering: Lowering, unit: Unit) -> None:
    """Lower an element-by-element product."""
    _product(lowering, unit)


def _product(lowering: Lowering, unit: Unit) -> None:
    operands = [lowering.operand(unit, place) for place in range(len(unit.node.inputs))]
    scale = Factor.of_scale(product_scale(*(operand.scale for operand in operands)))
    sizes = [magnitude(operand) for operand in operands]
    terms = lowering.shape(unit.node.inputs[0])[-1] if unit.node.op is Op.MATMUL else 1
    steps = _requantized(lowering, unit, scale, math.prod(sizes) * terms)
    lowering.add(unit, input_steps=[without_zero(operand) for operand in operands],
                 steps=steps, sums=True)  # fmt: skip


def _requantized(lowering: Lowering, unit: Unit, accumulator: Factor, largest: int) -> Steps:
    """Return the way from sums of at most `largest` to the output's codes.

    An integer multiplier is as wide as the target allows and the product's 62 bits have room for.
    """
    if unit.output is Output.RAW:
        return lowering.finish(unit)
    out = lowering.factor(lowering.output(unit), unit)
    rule = lowering.requant(unit)
    if rule.kind is Requantization.MULTIPLY_SHIFT:
        bits = min(rule.multiplier_bits, PRODUCT_BITS - largest.bit_length())
        rule = replace(rule, multiplier_bits=bits)
    scaled = rescale(accumulator / out, rule, unit.node.name)
    return (*scaled, *lowering.finish(unit))


def magnitude(fmt: Format) -> int:
    """Return the largest distance of a code from zero point."""
    return max(max(fmt.hi - zero, zero - fmt.lo) for zero in fmt.zero_point)


def _largest_sum(lowering: Lowering, unit: Unit) -> int:
    """Return a bound on a layer's sums: Σ |w| · max |x| over all weights, plus the bias."""
    node, constants = unit.node, lowering.assignment.constants
    weights = constants[node.name, 1]
    centred = np.abs(weights.values) + max(abs(zero) for zero in weights.format.zero_point)
    axes = None if node.op is Op.CONV_TRANSPOSE else tuple(range(1, centred.ndim))
    largest = int(centred.sum(axis=axes).max(initial=0)) * magnitude(lowering.operand(unit, 0))
    if (node.name, 2) in constants:
        codes = constants[node.name, 2].values
        rule = lowering.numerics.bias
        lift = (1 << (rule.shift or 0)) * (max(rule.factors) if rule.factors else 1)
        largest += int(np.abs(codes).max(initial=0)) * lift
    return largest


def _weights_without_zero(weights: Format, shape: tuple[int, ...]) -> Steps:
    if len(weights.zero_point) == 1:
        return without_zero(weights)
    along = [1] * len(shape)
    along[weights.axis or 0] = len(weights.zero_point)
    return (Add(int_param(-np.array(weights.zero_point, np.int64).reshape(along))),)


def _lift(bias: Format, accumulator: Format, drop: Rounding) -> Steps:
    """Return the shift, or the integer factor, at which bias codes join the accumulator."""
    ratio = bias.scale.values() / accumulator.scale.values()
    factors = np.rint(ratio).astype(np.int64)
    bits = np.rint(np.log2(ratio)).astype(np.int64)
    if not bits.any() and bool(np.all(factors <= 1)):
        return ()
    if bool(np.all(ratio == np.exp2(bits))) and int(bits.min()) < 0:
        return shift(bits, drop, _ANY_SHIFT, "bias")
    if bool(np.any(factors != 1 << bits)):
        return (Mul(int(factors[0])),)
    return (ShiftLeft(int(bits[0]) if bool(np.all(bits == bits[0])) else int_param(bits)),)
