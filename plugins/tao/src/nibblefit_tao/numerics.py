"""TensorRT's INT8 arithmetic as far as its documentation states it.

Source: TensorRT developer guide, "Working with quantized types": symmetric, no zero points,
activations per tensor in -128 … 127, weights per output channel in -127 … 127, ties to even.
Accumulators have 32 bits; where the guide is silent (how a product of scales is applied) an exact
31-bit multiplier is used.
"""

from __future__ import annotations

from nibblefit.fixed.formats import Accumulator, Rounding
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.numerics import (
    BiasRule,
    Fusion,
    Numerics,
    Requantization,
    RequantRule,
    ScaleKind,
    TensorRule,
)
from nibblefit.ir.ops import ELEMENTWISE, MOVERS, WEIGHTED, Op

_OPERATORS = (MOVERS | WEIGHTED | ELEMENTWISE) - {Op.OR, Op.XOR, Op.DROPOUT} | {
    Op.MATMUL, Op.AVG_POOL, Op.GLOBAL_AVG_POOL, Op.CONCAT, Op.RELU, Op.CLIP, Op.LEAKY_RELU,
    Op.PRELU, Op.ABS, Op.HARD_SIGMOID, Op.HARD_SWISH, Op.SIGMOID, Op.TANH, Op.SOFTMAX, Op.ARGMAX,
    Op.SCALE_OFFSET, Op.PAD, Op.RESIZE_BILINEAR,
}  # fmt: skip
_HEADS = (Op.CONV, Op.CONV_TRANSPOSE, Op.LINEAR, Op.ADD, Op.SUB, Op.MUL, Op.SCALE_OFFSET)
_FUSIONS = tuple(
    Fusion(f"{head.value} + {rectifier.value}", (head, rectifier))
    for head in _HEADS
    for rectifier in (Op.RELU, Op.CLIP)
)
_GUIDE = "TensorRT developer guide, working with quantized types"
_STATED = (
    "inputs", "activations", "weights", "bias", "accumulator", "requant", "pooling", "fusions",
    "operators", "host_operators",
)  # fmt: skip


def numerics_of(*, per_channel: bool = True) -> Numerics:
    """Return the arithmetic, with weight scales per filter or per layer."""
    activations = TensorRule((8,), symmetric=True, scale=ScaleKind.REAL)
    return Numerics(
        inputs=activations,
        activations=activations,
        weights=TensorRule((8,), scale=ScaleKind.REAL, per_channel=per_channel, narrow=True),
        bias=BiasRule(32),
        accumulator=Accumulator(32),
        requant=RequantRule(
            Requantization.MULTIPLY_SHIFT, Rounding.HALF_EVEN, multiplier_bits=31,
            shift_range=(-31, 31),
        ),
        pooling=Rounding.HALF_EVEN,
        fusions=_FUSIONS,
        operators=frozenset(_OPERATORS),
        sources=frozen_mapping(dict.fromkeys(_STATED, _GUIDE)),
    )  # fmt: skip
