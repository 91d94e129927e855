"""Arithmetic of the current generation, as data, for every device and quantization scale type.

Sources: the published importer and its quantizer (2025), the option map of the ONNX Runtime
provider (edgeai-tidl-tools 11_00_06_00), and QDQ models exported by edgeai-modeloptimization 11.1.
"""

from __future__ import annotations

from types import MappingProxyType

from nibblefit.fixed.formats import Accumulator, Rounding
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.numerics import (
    BiasRule,
    Fusion,
    Multipliers,
    Numerics,
    Requantization,
    RequantRule,
    ScaleKind,
    Signedness,
    TensorRule,
)
from nibblefit.ir.ops import Op
from nibblefit.quantization.weights import bias_limit
from nibblefit_tidl.devices import Device

_QUANTIZER = "TIDL importer (2025): quantizer"
_PROVIDER = "edgeai-tidl-tools 11_00_06_00: options of the ONNX Runtime provider"
_TABLE = "edgeai-tidl-tools 11_00_06_00: supported operators"

#: Largest factor between bias codes and the accumulator, for unsigned and signed input; 8-bit
#: layers of MMAv1. Source: importer, check of the bias scale.
NARROW_BIAS_FACTORS = (256, 128)
#: The same of 16-bit layers.
WIDE_BIAS_FACTORS = (32768, 32768)
#: Fixed precision of factors without weights, by width of the output. Source: quantizer.
MULTIPLIERS = Multipliers(
    sums=MappingProxyType({8: 6, 16: 14}),
    concatenations=MappingProxyType({8: 7, 16: 15}),
    averages=MappingProxyType({8: 12, 16: 12}),
    windows=MappingProxyType({((2, 2), (2, 2)): 8, ((3, 3), (2, 2)): 8}),
)
_HEADS = (Op.CONV, Op.CONV_TRANSPOSE, Op.LINEAR, Op.ADD, Op.SUB, Op.MUL, Op.SCALE_OFFSET)
FUSIONS = tuple(
    Fusion(f"{head.value} + {rectifier.value}", (head, rectifier))
    for head in _HEADS
    for rectifier in (Op.RELU, Op.CLIP)
)
OPERATORS = frozenset({
    Op.CONV, Op.CONV_TRANSPOSE, Op.LINEAR, Op.MATMUL, Op.SCALE_OFFSET, Op.MAX_POOL, Op.AVG_POOL,
    Op.GLOBAL_AVG_POOL, Op.RELU, Op.CLIP, Op.LEAKY_RELU, Op.PRELU, Op.ABS, Op.SIGMOID, Op.TANH,
    Op.HARD_SIGMOID, Op.HARD_SWISH, Op.ADD, Op.SUB, Op.MUL, Op.CONCAT, Op.SLICE, Op.SPLIT,
    Op.RESHAPE, Op.FLATTEN, Op.TRANSPOSE, Op.PAD, Op.RESIZE_NEAREST, Op.RESIZE_BILINEAR,
    Op.PIXEL_SHUFFLE, Op.SOFTMAX, Op.ARGMAX,
})  # fmt: skip


_SIGNS = {
    0: Signedness.BY_RANGE, 1: Signedness.BY_RANGE, 3: Signedness.SIGNED, 4: Signedness.UNSIGNED
}  # fmt: skip
_SOURCES = frozen_mapping(
    {
        "inputs": _PROVIDER,
        "activations": _QUANTIZER,
        "weights": _QUANTIZER,
        "bias": _QUANTIZER,
        "multipliers": _QUANTIZER,
        "operators": _TABLE,
    }
)


def numerics_of(
    device: Device, scale_type: int, bits: int = 8, *, mixed: bool = False,
    per_channel: bool = False, bias: str = "word",
) -> Numerics:  # fmt: skip
    """Return the arithmetic of a device.

    Args:
        device: The device; `nibblefit_tidl.current.modes` refuses scale types it lacks.
        scale_type: quantization_scale_type: 0, 1, 3 or 4.
        bits: Width of tensors, 8 or 16.
        mixed: Single layers may have the other width.
        per_channel: Symmetric modes, too, have weight scales per channel (in depthwise layers).
        bias: How MMAv1 carries biases; see `bias_rule`.
    """
    symmetric = scale_type in (0, 1)
    kind = ScaleKind.POWER_OF_TWO if scale_type == 1 else ScaleKind.REAL
    widths = (8, 16) if bits == 8 else (16, 8)
    data = TensorRule(
        widths, _SIGNS[scale_type], symmetric=symmetric, scale=kind, rounding=_rounding(scale_type)
    )
    wide = mixed or bits == 16
    return Numerics(
        inputs=data,
        activations=data,
        weights=TensorRule(
            widths, Signedness.SIGNED, symmetric=True, scale=kind,
            per_channel=per_channel or not symmetric,
            rounding=Rounding.HALF_AWAY if symmetric else Rounding.HALF_EVEN,
        ),
        bias=bias_rule(device, bits, bias),
        accumulator=Accumulator(62 if wide else 32),
        requant=_requant(symmetric=symmetric, wide=wide),
        pooling=Rounding.HALF_UP,
        # In prequantized models, which have 8 bits throughout, averages re-use the scale of what
        # they read, as maxima do. Source: models exported by edgeai-modeloptimization 11.1.
        pooling_keeps_format=scale_type == 4 and not wide,
        fusions=FUSIONS,
        operators=OPERATORS,
        multipliers=MULTIPLIERS if symmetric else Multipliers(),
        sources=_SOURCES,
    )  # fmt: skip


def _requant(*, symmetric: bool, wide: bool) -> RequantRule:
    """Return the way from sums to codes; how asymmetric layers do it is not published."""
    return RequantRule(
        Requantization.SHIFT if symmetric else Requantization.MULTIPLY_SHIFT,
        Rounding.HALF_UP,
        multiplier_bits=0 if symmetric else 24 if wide else 31,
        shift_range=(0, 61 if wide else 31),
    )


def _rounding(scale_type: int) -> Rounding:
    """Return how real inputs become codes: as ONNX Runtime does it for QDQ models."""
    return Rounding.HALF_AWAY if scale_type in (0, 1) else Rounding.HALF_EVEN


def bias_rule(device: Device, bits: int, carried: str = "word") -> BiasRule:
    """Return the bias rule of layers of some width.

    MMAv2 adds 32 bits (to 8-bit data). MMAv1 adds the product of two numbers as wide as the data:
    a code per channel and a factor. Read as ``word``, the products make up biases of twice the
    width; as ``product``, one factor serves all channels of a layer, which leaves small biases
    little resolution.
    """
    if not device.narrow_bias:
        return BiasRule(32 if bits == 8 else 48)
    if carried == "word":
        return BiasRule(2 * bits, rounding=Rounding.HALF_AWAY)
    return BiasRule(bits, rounding=Rounding.HALF_AWAY, factors=_factors(bits))


def largest_bias(device: Device, bits: int, accumulator_bits: int, *, signed: bool) -> float:
    """Return the largest bias, in accumulator steps, of layers of some width.

    Args:
        device: The device.
        bits: Width of the layer's data or weights, the larger.
        accumulator_bits: Width of the accumulator, of which a bias may fill half.
        signed: Whether the layer's input is.
    """
    rule = BiasRule(bits, factors=_factors(bits)) if device.narrow_bias else bias_rule(device, bits)
    return bias_limit(rule, ScaleKind.REAL, accumulator_bits, signed=signed)


def _factors(bits: int) -> tuple[int, int]:
    return NARROW_BIAS_FACTORS if bits == 8 else WIDE_BIAS_FACTORS
