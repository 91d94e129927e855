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
    Numerics,
    Requantization,
    RequantRule,
    ScaleKind,
    TensorRule,
)
from nibblefit.quantization.qdq.layers import FUSIONS, OPERATORS

#: Steps between zero and the largest magnitude of a tensor: a scale is ``amax / 127``.
LEVELS = 127
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
        fusions=FUSIONS,
        operators=OPERATORS,
        sources=frozen_mapping(dict.fromkeys(_STATED, _GUIDE)),
    )  # fmt: skip
