"""Lowering: each unit of a float graph becomes one integer node, given all formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nibblefit.ir.ops import ELEMENTWISE, MOVERS, Op
from nibblefit.quantization.lowering import (
    activations,
    combining,
    moving,
    pooling,
    products,
    tables,
)
from nibblefit.quantization.lowering.context import Lowering
from nibblefit.quantization.units import Unit

Lower = Callable[[Lowering, Unit], None]

#: How every operator of the float graph is lowered.
LOWER: Mapping[Op, Lower] = {
    Op.CONV: products.affine,
    Op.CONV_TRANSPOSE: products.affine,
    Op.LINEAR: products.affine,
    Op.SCALE_OFFSET: products.affine,
    Op.MATMUL: products.matmul,
    **dict.fromkeys(MOVERS - {Op.DROPOUT}, moving.move),
    Op.IDENTITY: moving.move,
    Op.PAD: moving.pad,
    Op.RESIZE_BILINEAR: moving.resize_bilinear,
    Op.AVG_POOL: pooling.average,
    Op.GLOBAL_AVG_POOL: pooling.average,
    **dict.fromkeys(ELEMENTWISE, combining.elementwise),
    Op.CONCAT: combining.concat,
    Op.OR: combining.bitwise,
    Op.XOR: combining.bitwise,
    Op.MUL: products.multiply,
    Op.RELU: activations.rectify,
    Op.CLIP: activations.rectify,
    Op.ABS: activations.rectify,
    Op.LEAKY_RELU: activations.leaky,
    Op.PRELU: activations.leaky,
    Op.SIGMOID: tables.function,
    Op.TANH: tables.function,
    Op.HARD_SIGMOID: tables.function,
    Op.HARD_SWISH: tables.function,
    Op.SOFTMAX: tables.softmax,
    Op.ARGMAX: tables.argmax,
}

__all__ = ["LOWER", "Lower", "Lowering"]
