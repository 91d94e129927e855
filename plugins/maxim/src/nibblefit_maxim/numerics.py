"""The arithmetic of the accelerator as data, each value with its source."""

from __future__ import annotations

from nibblefit.fixed.formats import Accumulator, Overflow, Rounding
from nibblefit.fixed.steps import Clamp, ShiftLeft, ShiftRight, Steps
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.numerics import (
    BiasRule,
    Fusion,
    Numerics,
    Requantization,
    RequantRule,
    ScaleKind,
    Signedness,
    TensorRule,
)
from nibblefit.ir.ops import Op

#: Bits of activations; data memory holds bytes. Source: ai8x-training `devices.py`.
DATA_BITS = 8
#: Fractional bits of an activation whose threshold is zero: real = code / 128.
#: Source: ai8x-training README, "Data, Weights, and Activation Data Path".
DATA_FRAC = 7
#: Weight widths. Source: ai8x-synthesis README, "Per-Layer Configuration", `quantization`.
WEIGHT_BITS = (8, 4, 2, 1)
#: Weights of plus and minus one, stored in one bit; MAX78002 only.
#: Source: ai8x-synthesis README, "Per-Layer Configuration", `quantization: binary`.
BINARY = "binary"
#: Left shift at which a bias code joins the accumulator, for every weight width.
#: Source: ai8x-synthesis `izer/compute.py`; confirmed by every biased vector of the vendor.
BIAS_SHIFT = 7
#: Bits of a bias code. Source: ai8x-synthesis `izer/checkpoint.py`.
BIAS_BITS = 8
#: The wide output shows 32 bits of it. Source: ai8x-synthesis README, `output_width`.
ACCUMULATOR = Accumulator(32, Overflow.FORBID)
#: Real range of the network's input: an unsigned byte u stands for (u − 128) / 128, so 0 is −1 and
#: full scale, 256, is 1. Source: ai8x-training README, "Data Loader".
INPUT_RANGE = (-1.0, 1.0)
#: Default of the compiler; its flag --avg-pool-rounding selects half away from zero instead.
#: Source: measured with ai8x-synthesis ab4f4c0 (−0.75 → 0, −1.25 → −1).
POOL_ROUNDING = Rounding.TOWARD_ZERO

_COMPILER = "ai8x-synthesis ab4f4c0"

NUMERICS = Numerics(
    inputs=TensorRule(
        bits=(DATA_BITS,),
        signedness=Signedness.SIGNED,
        scale=ScaleKind.POWER_OF_TWO,
        rounding=Rounding.HALF_EVEN,
    ),
    activations=TensorRule(
        bits=(DATA_BITS,),
        signedness=Signedness.SIGNED,
        scale=ScaleKind.POWER_OF_TWO,
        rounding=Rounding.HALF_UP,
    ),
    weights=TensorRule(
        bits=WEIGHT_BITS,
        signedness=Signedness.SIGNED,
        scale=ScaleKind.POWER_OF_TWO,
        rounding=Rounding.HALF_UP,
    ),
    bias=BiasRule(bits=BIAS_BITS, shift=BIAS_SHIFT, rounding=Rounding.HALF_UP),
    accumulator=ACCUMULATOR,
    requant=RequantRule(
        kind=Requantization.SHIFT, rounding=Rounding.HALF_UP, shift_range=(7 - 15, 7 + 15)
    ),
    pooling=POOL_ROUNDING,
    pooling_keeps_format=True,
    fusions=(
        Fusion(
            "pool + conv + activation",
            (Op.MAX_POOL, Op.CONV, Op.BATCH_NORM, Op.RELU),
            frozenset({0, 2, 3}),
        ),
        Fusion(
            "average pool + conv + activation",
            (Op.AVG_POOL, Op.CONV, Op.BATCH_NORM, Op.RELU),
            frozenset({2, 3}),
        ),
        Fusion("add + conv + activation", (Op.ADD, Op.CONV, Op.BATCH_NORM, Op.RELU),
               frozenset({2, 3})),
        Fusion("conv + abs", (Op.CONV, Op.BATCH_NORM, Op.ABS), frozenset({1})),
        Fusion("flatten + linear + activation", (Op.FLATTEN, Op.LINEAR, Op.RELU),
               frozenset({0, 2})),
    ),
    operators=frozenset(
        {
            Op.CONV, Op.CONV_TRANSPOSE, Op.LINEAR, Op.SCALE_OFFSET, Op.BATCH_NORM,
            Op.MAX_POOL, Op.AVG_POOL, Op.GLOBAL_AVG_POOL, Op.GLOBAL_MAX_POOL,
            Op.ADD, Op.SUB, Op.OR, Op.XOR, Op.CONCAT, Op.RELU, Op.ABS, Op.RESIZE_NEAREST,
            Op.FLATTEN, Op.RESHAPE, Op.IDENTITY, Op.DROPOUT,
        }
    ),
    host_operators=frozenset({Op.SOFTMAX, Op.ARGMAX, Op.SIGMOID, Op.TANH}),
    sources=frozen_mapping(
        {
            "inputs": "ai8x-training README, 'Data Loader'; files hold int8 codes",
            "activations": f"{_COMPILER} izer/simulate.py: floor(A · 2^S / 128 + ½), clip to int8",
            "weights": "ai8x-training c3d4eb1 ai8x.py: floor(w · 2^B · 2^(b−1) + ½), clip",
            "bias": f"{_COMPILER} izer/compute.py: accumulator starts at 128 · bias",
            "accumulator": f"{_COMPILER} README, output_width 32",
            "requant": f"{_COMPILER} izer/izer.py: total shift −15…15",
            "pooling": f"measured with {_COMPILER}: truncation toward zero",
            "fusions": f"{_COMPILER} README, 'Fusing': pooling stands before the convolution",
            "operators": f"{_COMPILER} README, 'Supported operations'",
        }
    ),
)  # fmt: skip


def output_steps(right_shift: int, *, relu: bool) -> Steps:
    """Return the steps from accumulator to 8-bit output code.

    Args:
        right_shift: Bits to the right; negative shifts left.
        relu: Whether negative codes become zero, after clipping.
    """
    shift = (
        (ShiftRight(right_shift, Rounding.HALF_UP),)
        if right_shift > 0
        else (ShiftLeft(-right_shift),)
        if right_shift < 0
        else ()
    )
    rectifier = (Clamp(0, None),) if relu else ()
    return (*shift, Clamp(-128, 127), *rectifier)
