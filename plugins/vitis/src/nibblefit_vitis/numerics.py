"""Arithmetic of the DPU and of the float-scale class, as data.

Sources: Vitis AI 3.5 (pytorch_nndct), read and run; the deploy-check dump of its exporter.
"""

from __future__ import annotations

from nibblefit.fixed.formats import Accumulator, Rounding
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.numerics import (
    BiasRule,
    Fusion,
    GateRule,
    Numerics,
    Requantization,
    RequantRule,
    TensorRule,
)
from nibblefit.ir.ops import Op
from nibblefit_vitis.preparation.constants import (
    HARD_SIGMOID_MULTIPLIER,
    HARD_SIGMOID_SHIFT,
    HARD_SWISH_GATE_POSITION,
)
from nibblefit_vitis.settings import RoundMode

_NNDCT = "Vitis AI 3.5, pytorch_nndct: quantizer and export"
_DUMP = "deploy-check dump of Vitis AI 3.5, equal integer by integer"

#: The kernels' rounding modes in nibblefit's words.
ROUNDINGS = {
    RoundMode.HALF_UP: Rounding.HALF_UP,
    RoundMode.STD_ROUND: Rounding.HALF_AWAY,
    RoundMode.HALF_DOWN: Rounding.HALF_TOWARD_ZERO,
    RoundMode.HALF_EVEN: Rounding.HALF_EVEN,
}

_WIDTHS = (8, *(bits for bits in range(2, 33) if bits != 8))
_HEADS = (
    Op.CONV, Op.CONV_TRANSPOSE, Op.LINEAR, Op.SCALE_OFFSET, Op.MATMUL, Op.ADD, Op.SUB, Op.MUL,
)  # fmt: skip
_POOLS = (Op.AVG_POOL, Op.GLOBAL_AVG_POOL)
FUSIONS = tuple(
    Fusion(f"{head.value} + {rectifier.value}", (head, rectifier))
    for head, rectifiers in (
        *((head, (Op.RELU, Op.CLIP, Op.LEAKY_RELU)) for head in _HEADS),
        *((pool, (Op.RELU, Op.CLIP)) for pool in _POOLS),
    )
    for rectifier in rectifiers
)
OPERATORS = frozenset({
    Op.CONV, Op.CONV_TRANSPOSE, Op.LINEAR, Op.SCALE_OFFSET, Op.MAX_POOL, Op.AVG_POOL,
    Op.GLOBAL_AVG_POOL, Op.GLOBAL_MAX_POOL, Op.RELU, Op.CLIP, Op.LEAKY_RELU, Op.HARD_SIGMOID,
    Op.HARD_SWISH, Op.ADD, Op.MUL, Op.CONCAT, Op.SLICE, Op.SPLIT, Op.RESHAPE, Op.FLATTEN, Op.PAD,
    Op.RESIZE_NEAREST, Op.RESIZE_BILINEAR, Op.PIXEL_SHUFFLE,
})  # fmt: skip
#: What the compiler leaves to the processor beside the DPU.
CPU_OPERATORS = frozenset({
    Op.SIGMOID, Op.TANH, Op.SOFTMAX, Op.ARGMAX, Op.MATMUL, Op.TRANSPOSE, Op.PRELU, Op.ABS, Op.SUB,
})  # fmt: skip


#: 8-bit codes and power-of-two scales: everything is a shift.
DPU_NUMERICS = Numerics(
    inputs=TensorRule(_WIDTHS, rounding=Rounding.HALF_AWAY),
    activations=TensorRule(_WIDTHS, rounding=Rounding.HALF_UP),
    weights=TensorRule(_WIDTHS, rounding=Rounding.HALF_AWAY),
    bias=BiasRule(8, rounding=Rounding.HALF_AWAY, drop=Rounding.FLOOR),
    accumulator=Accumulator(32),
    requant=RequantRule(Requantization.SHIFT, Rounding.HALF_UP, shift_range=(-62, 62)),
    pooling=Rounding.HALF_UP,
    fusions=FUSIONS,
    operators=OPERATORS,
    host_operators=CPU_OPERATORS,
    gates=GateRule(
        HARD_SIGMOID_MULTIPLIER, HARD_SIGMOID_SHIFT, 8, HARD_SWISH_GATE_POSITION, Rounding.HALF_UP
    ),
    sources=frozen_mapping(
        {
            "inputs": _NNDCT,
            "activations": _NNDCT,
            "weights": _NNDCT,
            "bias": _NNDCT,
            "requant": _DUMP,
            "pooling": _DUMP,
            "gates": _DUMP,
            "operators": "Vitis AI 3.5, rules of the inspector",
        }
    ),
)
