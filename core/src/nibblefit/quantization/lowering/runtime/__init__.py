"""Lowering for targets whose output shifts are chosen while running, frame by frame.

The scale of an activation then differs from frame to frame. It is carried beside the codes as an
*exponent*, a tensor (batch, 1): ``real = code · scale · 2^exponent``, where ``scale`` is the one
that calibration found, so exponents stay near zero. A layer's exponent is that of its input plus
the chosen shift minus the calibrated one; whatever meets data of such a scale (biases, bounds,
operands of a sum) is shifted by exponents as well. Graph outputs are decoded by one exact shift to
a wide code with one fixed scale, so that readers need not know of any of this.

Scales stay within 2^±`REACH` of the calibrated one; a frame that would need more saturates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nibblefit.ir.ops import MOVERS, Op
from nibblefit.quantization.lowering.runtime import combining, moving, products, rectifying
from nibblefit.quantization.lowering.runtime.context import REACH, RuntimeLowering
from nibblefit.quantization.units import Unit

#: How every operator is lowered; what is missing has no such form.
LOWER_RUNTIME: Mapping[Op, Callable[[RuntimeLowering, Unit], None]] = {
    Op.CONV: products.affine,
    Op.CONV_TRANSPOSE: products.affine,
    Op.LINEAR: products.affine,
    Op.SCALE_OFFSET: products.scale_offset,
    Op.MUL: products.multiply,
    Op.ADD: combining.total,
    Op.SUB: combining.total,
    Op.CONCAT: combining.concat,
    Op.AVG_POOL: combining.average,
    Op.GLOBAL_AVG_POOL: combining.average,
    Op.RELU: rectifying.relu,
    Op.CLIP: rectifying.clip,
    Op.LEAKY_RELU: rectifying.leaky,
    Op.PRELU: rectifying.leaky,
    **dict.fromkeys(MOVERS - {Op.DROPOUT}, moving.move),
    Op.IDENTITY: moving.move,
    Op.SOFTMAX: moving.softmax,
    Op.ARGMAX: moving.argmax,
}

__all__ = ["LOWER_RUNTIME", "REACH", "RuntimeLowering"]
