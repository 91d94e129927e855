"""Which layers QDQ ONNX of `writing` can hold, for the numerics of targets that write it."""

from __future__ import annotations

from nibblefit.ir.numerics import Fusion
from nibblefit.ir.ops import ELEMENTWISE, MOVERS, WEIGHTED, Op

#: Bitwise words need one scale for all data, which such targets do not have; dropout vanishes.
OPERATORS = frozenset(
    (MOVERS | WEIGHTED | ELEMENTWISE)
    - {Op.OR, Op.XOR, Op.DROPOUT}
    | {
        Op.MATMUL, Op.AVG_POOL, Op.GLOBAL_AVG_POOL, Op.CONCAT, Op.RELU, Op.CLIP, Op.LEAKY_RELU,
        Op.PRELU, Op.ABS, Op.HARD_SIGMOID, Op.HARD_SWISH, Op.SIGMOID, Op.TANH, Op.SOFTMAX,
        Op.ARGMAX, Op.SCALE_OFFSET, Op.PAD, Op.RESIZE_BILINEAR,
    }
)  # fmt: skip
_HEADS = (Op.CONV, Op.CONV_TRANSPOSE, Op.LINEAR, Op.ADD, Op.SUB, Op.MUL, Op.SCALE_OFFSET)
#: Rectifiers run with the layer before them, without a quantizer in between.
FUSIONS = tuple(
    Fusion(f"{head.value} + {rectifier.value}", (head, rectifier))
    for head in _HEADS
    for rectifier in (Op.RELU, Op.CLIP)
)
