"""From trained float weights to the quantized graph, by the vendor's formulas."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nibblefit.fixed.formats import IntArray
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit_maxim.fusing.network import FusedNetwork
from nibblefit_maxim.hosting import add_host, described_host
from nibblefit_maxim.layers import HardwareLayer, IntegerLayer, Operator
from nibblefit_maxim.lower import GraphBuilder
from nibblefit_maxim.numerics import DATA_FRAC
from nibblefit_maxim.parts import Part
from nibblefit_maxim.scales import quantize_parameters
from nibblefit_maxim.settings import LayerSettings

#: Weight code and fractional bits of an identity convolution: 64 · d / 64 = d exactly, while 1.0
#: as an 8-bit weight would be 127/128.
_IDENTITY_CODE = 64
_IDENTITY_FRAC = 6


def quantize_network(
    graph: Graph,
    fused: FusedNetwork,
    settings: Mapping[str, LayerSettings],
    thresholds: Mapping[str, int],
    part: Part,
) -> QuantizedGraph:
    """Return the integer graph of a folded float graph.

    Args:
        graph: Float graph without batch norm; its constants are the trained weights.
        fused: Its hardware layers.
        settings: By layer name.
        thresholds: T by tensor name.
        part: The device.
    """
    builder = GraphBuilder(graph.name)
    builder.add_input(fused.input, fused.input_shape, DATA_FRAC - thresholds.get(fused.input, 0))
    for layer in fused.layers:
        in_frac = DATA_FRAC - thresholds.get(layer.inputs[0], 0)
        out_frac = in_frac if layer.wide else DATA_FRAC - thresholds.get(layer.tensor, 0)
        builder.add_layer(_integers(graph, layer, settings, in_frac, out_frac))
    outputs = add_host(builder, fused.outputs, fused.host, fused.results)
    metadata = {
        "part": part.name,
        "network": graph.name,
        "weight_bits": frozen_mapping({name: s.weight_bits for name, s in settings.items()}),
        "binary_weights": tuple(name for name, s in settings.items() if s.is_binary),
        "shift_quantile": frozen_mapping({n: s.shift_quantile for n, s in settings.items()}),
        "wide_output": any(layer.wide for layer in fused.layers),
        "rounds_averages": any(layer.pool and layer.pool.is_rounded for layer in fused.layers),
        "host": described_host(fused),
    }
    return builder.finish(outputs, metadata)


def _integers(
    graph: Graph,
    layer: HardwareLayer,
    settings: Mapping[str, LayerSettings],
    in_frac: int,
    out_frac: int,
) -> IntegerLayer:
    if not layer.has_weights:
        return IntegerLayer(layer, in_frac=in_frac, out_frac=in_frac)
    if layer.identity:
        weights, frac = _identity_weights(layer)
        return IntegerLayer(layer, weights, None, layer.identity_bits, frac, in_frac, out_frac)
    chosen = settings[layer.name]
    bias = None
    if layer.bias:
        # The bias joins data that was divided by 2^T, so it is divided as well; exact.
        scale = np.float32(2.0 ** (in_frac - DATA_FRAC))
        bias = graph.constants[layer.bias].astype(np.float32) * scale
    codes = quantize_parameters(
        graph.constants[layer.weight],
        bias,
        chosen.weight_bits,
        chosen.shift_quantile,
        in_frac - out_frac,
        layer=layer.name,
        is_binary=chosen.is_binary,
    )
    return IntegerLayer(
        layer,
        _placed(codes.weights, layer),
        codes.bias,
        chosen.weight_bits,
        chosen.weight_bits - 1 + codes.exponent,
        in_frac,
        out_frac,
        chosen.is_binary,
    )


def _placed(codes: IntArray, layer: HardwareLayer) -> IntArray:
    """Return the hardware's weights: codes among the zeros that the layer adds."""
    if layer.embedding is None:
        return codes
    filled: IntArray = layer.embedding.fill(np.zeros(layer.embedding.shape, np.int64), codes)
    return filled


def _identity_weights(layer: HardwareLayer) -> tuple[IntArray, int]:
    """Return weights that hand every channel on, and their fractional bits.

    One tap; transposed, a square of four; for copies, one tap for each of them.
    """
    channels = layer.in_channels if layer.copies else layer.out_channels
    eye = np.eye(channels, dtype=np.int64)
    if layer.copies:
        shifted = np.zeros((len(layer.copies), channels, channels, *layer.kernel), np.int64)
        for copy, tap in zip(shifted, layer.copies, strict=True):
            copy[(slice(None), slice(None), *tap)] = eye
        return shifted.reshape(-1, channels, *layer.kernel), 0
    eye *= _IDENTITY_CODE
    kernel = layer.kernel
    weights = np.zeros((channels, channels, *kernel), np.int64)
    if layer.operator is Operator.CONV_TRANSPOSE2D:
        # Result 2i − 1 + t comes from position i: taps 1 and 2 make 2i and 2i + 1.
        weights[:, :, 1:, 1:] = eye[:, :, None, None]
        return weights, _IDENTITY_FRAC
    centre = tuple(taps // 2 for taps in kernel)
    everywhere: tuple[slice | int, ...] = (slice(None), slice(None), *centre)
    weights[everywhere] = eye
    return weights, _IDENTITY_FRAC
