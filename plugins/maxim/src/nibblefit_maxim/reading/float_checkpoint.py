"""Vendor float checkpoints, quantized as the vendor's script does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from nibblefit.fixed.formats import FloatArray
from nibblefit_maxim.reading.checkpoint import Checkpoint, LayerParameters
from nibblefit_maxim.scales import exponent_limits, quantize_parameters


def quantize_checkpoint(
    checkpoint: Checkpoint, weight_bits: Mapping[str, int] | None = None
) -> Checkpoint:
    """Return the integer checkpoint of a float one.

    Args:
        checkpoint: Weights after quantization-aware training, batch norm folded.
        weight_bits: Width by module path, where the checkpoint's own is not wanted.

    Source: ai8x-synthesis commit ab4f4c0, `quantize.py`.
    """
    chosen = weight_bits or {}
    layers = []
    tensors = dict(checkpoint.tensors)
    for layer in checkpoint.layers:
        bits = chosen.get(layer.name) or layer.weight_bits or 8
        quantized = _quantize(layer, tensors, bits)
        layers.append(quantized)
        _store(tensors, checkpoint.tensors, quantized)
    return replace(checkpoint, layers=tuple(layers), tensors=tensors)


def _quantize(
    layer: LayerParameters, tensors: Mapping[str, FloatArray], bits: int
) -> LayerParameters:
    stored = tensors.get(f"{layer.name}.shift_quantile")
    quantile = float(stored.reshape(-1)[0]) if stored is not None else 1.0
    codes = quantize_parameters(layer.weights, layer.bias, bits, quantile, layer=layer.name)
    low, high = exponent_limits(bits)
    shift = min(max(-codes.exponent - layer.threshold, low), high)
    return replace(
        layer,
        weights=codes.weights.astype(np.float64),
        bias=None if codes.bias is None else codes.bias.astype(np.float64) * 2.0 ** (bits - 1),
        weight_bits=bits,
        output_shift=shift,
    )


def _store(
    tensors: dict[str, FloatArray], original: Mapping[str, FloatArray], layer: LayerParameters
) -> None:
    """Put one layer's results under the vendor's keys."""
    weight_key = next(
        key
        for key in original
        if (
            key.endswith(".weight") and key.removesuffix(".weight").rpartition(".")[0] == layer.name
        )
        or key == f"{layer.name}.weight"
    )
    tensors[weight_key] = layer.weights
    if layer.bias is not None:
        tensors[weight_key.removesuffix("weight") + "bias"] = layer.bias
    for name, value in (
        ("output_shift", layer.output_shift or 0),
        ("weight_bits", layer.weight_bits),
        ("bias_bits", layer.weight_bits),
        ("quantize_activation", 1),
        ("adjust_output_shift", 0),
    ):
        tensors[f"{layer.name}.{name}"] = np.array([value], np.float64)
