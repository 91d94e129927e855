"""Arithmetic of the classic generation, as data. Nothing else in this target decides a bit.

Sources: the published importer of classic TIDL (0.8 to 1.x) for parameters and merges; the TIDL
user guide of Processor SDK Linux 6.x for run-time ranges and their parameters.
"""

from __future__ import annotations

from nibblefit.fixed.formats import Accumulator, Overflow, Rounding
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
from nibblefit_tidl.classic.options import ClassicOptions

_IMPORTER = "classic TIDL importer: quantization of parameters"
_GUIDE = "TIDL user guide, Processor SDK Linux 6.x: dynamic quantization"

#: (history_first, history, margin) in percent. Source: user guide, recommended values.
PRESETS = {"still": (0, 0, 0), "video": (20, 5, 0)}

_POOLS = (Op.MAX_POOL, Op.AVG_POOL)
_HEADS = (Op.CONV, Op.CONV_TRANSPOSE, Op.LINEAR, Op.ADD, Op.MUL, Op.SCALE_OFFSET)
#: ReLU joins the layer before it. Pooling that joins a convolution (2 × 2, stride 2) depends on
#: attributes; see `nibblefit_tidl.classic.merging`.
FUSIONS = tuple(
    Fusion(f"{head.value} + {rectifier.value}", (head, rectifier))
    for head in _HEADS
    for rectifier in (Op.RELU, Op.CLIP)
)
#: Transposing and reshaping only behind detection heads; the operator table refuses it elsewhere.
OPERATORS = frozenset({
    Op.CONV, Op.CONV_TRANSPOSE, Op.LINEAR, Op.SCALE_OFFSET, Op.MAX_POOL, Op.AVG_POOL,
    Op.GLOBAL_AVG_POOL, Op.GLOBAL_MAX_POOL, Op.RELU, Op.CLIP, Op.PRELU, Op.ADD, Op.MUL,
    Op.CONCAT, Op.SPLIT, Op.SLICE, Op.FLATTEN, Op.ARGMAX, Op.TRANSPOSE, Op.RESHAPE,
})  # fmt: skip
#: Softmax runs on the device, in floating point; an emulation in integers follows the network.
HOST_OPERATORS = frozenset({Op.SOFTMAX})


def numerics_of(options: ClassicOptions) -> Numerics:
    """Return the arithmetic that the options ask for."""
    first, later, margin = _history(options)
    data = TensorRule((8,), Signedness.BY_RANGE, symmetric=True, scale=ScaleKind.REAL)
    widths = (options.parameter_bits, *(b for b in range(4, 13) if b != options.parameter_bits))
    return Numerics(
        inputs=data,
        activations=data,
        weights=TensorRule(
            widths, Signedness.UNSIGNED, symmetric=False, scale=ScaleKind.REAL,
            rounding=Rounding.HALF_AWAY,
        ),
        bias=BiasRule(16, rounding=Rounding.HALF_AWAY),
        accumulator=Accumulator(40, Overflow.SATURATE),
        requant=RequantRule(
            Requantization.RUNTIME_SHIFT, Rounding.HALF_UP, shift_range=(0, 39),
            history_first=first, history=later, first_frames=options.first_frames, margin=margin,
        ),
        pooling=Rounding.HALF_UP,
        fusions=FUSIONS,
        operators=OPERATORS,
        host_operators=HOST_OPERATORS,
        sources=frozen_mapping(
            {
                "inputs": _GUIDE,
                "activations": _GUIDE,
                "weights": _IMPORTER,
                "bias": _IMPORTER,
                "accumulator": _GUIDE,
                "requant": _GUIDE,
                "fusions": "classic TIDL importer: merging of layers",
                "operators": _GUIDE,
            }
        ),
    )  # fmt: skip


def _history(options: ClassicOptions) -> tuple[int, int, int]:
    """Return the percentages of the past that are kept, and the margin."""
    first, later, margin = PRESETS[options.frames]
    first = first if options.history_first is None else options.history_first
    later = later if options.history is None else options.history
    if options.history_weighs == "frame":
        # A weight of 0 means "no history" in the vendor's own advice for still images.
        first, later = (100 - weight if weight else 0 for weight in (first, later))
    return first, later, margin if options.margin is None else options.margin
