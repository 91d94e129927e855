"""Scales of combined tensors: products, and the common scale in which tensors are added."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nibblefit.fixed.formats import Format, IntArray, Rounding, Scale
from nibblefit.fixed.steps import IntParam, Mul, ShiftLeft, ShiftRight, Steps, int_param
from nibblefit.ir.numerics import Numerics
from nibblefit.quantization.factors import Factor

#: Bits kept free in the accumulator when tensors are aligned: sign, zero point, one to spare.
_SPARE = 3
#: Tensors this wide are accumulators that nobody has requantized.
RAW_BITS = 24
#: Sums times multipliers must stay below 2^62 in magnitude.
PRODUCT_BITS = 62


def product_scale(*scales: Scale) -> Scale:
    """Return the scale of a product: exact fractional bits, or float64 products of steps."""
    count = max(map(len, scales))
    if all(scale.frac is not None for scale in scales):
        fracs = [np.broadcast_to(np.array(scale.frac), count) for scale in scales]
        return Scale.power_of_two(*np.sum(fracs, axis=0).tolist())
    values = [np.broadcast_to(scale.values(), count) for scale in scales]
    return Scale.real(*np.prod(values, axis=0).tolist())


def common_scale(
    operands: Sequence[Format], sum_width: int, multiplier_bits: int | None = None
) -> Scale:
    """Return the scale in which operands are added.

    An operand that is itself an accumulator gives its scale. Otherwise: power-of-two operands
    take the finest scale among them, real ones a scale so fine that the rounded integer
    multipliers which align them use the accumulator's width; both no finer than the accumulator
    holds. With `multiplier_bits` it is the coarsest scale among them, that many bits finer.
    """
    raw = [operand for operand in operands if operand.bits >= RAW_BITS]
    if raw:
        return raw[0].scale
    if multiplier_bits is not None:
        return _finer(operands, multiplier_bits)
    room = _room(operands, sum_width)
    if all(operand.scale.frac is not None for operand in operands):
        fracs = [frac for operand in operands for frac in operand.scale.frac or ()]
        return Scale.power_of_two(min(max(fracs), min(fracs) + room))
    largest = max(float(operand.scale.values().max()) for operand in operands)
    return Scale.real(largest * 2.0**-room)


def _finer(operands: Sequence[Format], bits: int) -> Scale:
    """Return the coarsest scale among operands, made finer by a number of bits."""
    if all(operand.scale.frac is not None for operand in operands):
        return Scale.power_of_two(min(f for o in operands for f in o.scale.frac or ()) + bits)
    return Scale.real(max(float(o.scale.values().max()) for o in operands) * 2.0**-bits)


def sum_bits(numerics: Numerics) -> int:
    """Return the width that aligned sums may use: the accumulator, and its product in int64."""
    return min(numerics.accumulator.bits, PRODUCT_BITS - numerics.requant.multiplier_bits + 1)


def _room(operands: Sequence[Format], sum_width: int) -> int:
    widest = max(operand.bits for operand in operands)
    carries = (len(operands) - 1).bit_length()
    return max(sum_width - widest - carries - _SPARE, 0)


def align(operand: Factor, common: Factor, rounding: Rounding) -> Steps:
    """Return the steps that bring an operand (zero point removed) to the common scale."""
    factor = operand / common
    if factor.exponents is None:
        return (Mul(int_param(np.rint(factor.values).astype(np.int64))),)
    left, right = np.maximum(factor.exponents, 0), np.maximum(-factor.exponents, 0)
    steps: Steps = ()
    if int(left.max()):
        steps += (ShiftLeft(_scalar(left)),)
    if int(right.max()):
        steps += (ShiftRight(_scalar(right), rounding),)
    return steps


def _scalar(values: IntArray) -> IntParam:
    return int(values) if np.ndim(values) == 0 else int_param(values)
