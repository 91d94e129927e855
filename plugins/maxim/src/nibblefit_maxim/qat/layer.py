"""Forward pass of one hardware layer, in float or with the accelerator's arithmetic.

Data is normalised: an 8-bit tensor with threshold T holds real / 2^T, so its values are multiples
of 1/128 within [−1, 127/128], whatever T is. With relative threshold t = T_out − T_in and weights
scaled by 2^B, the accumulator is multiplied by 2^(−B − t) before rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from nibblefit_maxim.layers import Activation, Eltwise, HardwareLayer, Operator, Pool, PoolKind
from nibblefit_maxim.lower import TRANSPOSE_OUTPUT_PADDING, TRANSPOSE_STRIDE
from nibblefit_maxim.qat.rounding import (
    quantize_data,
    quantize_weights,
    truncate_average,
    weight_scale,
)
from nibblefit_maxim.settings import LayerSettings

#: Largest integer up to which float32 holds every integer.
_FLOAT32_EXACT = 1 << 24
_DATA_MAX = 127 / 128


@dataclass(frozen=True, slots=True)
class LayerArithmetic:
    """What the forward pass of one layer needs besides tensors.

    Attributes:
        layer: The layer.
        settings: Weight width and quantile.
        threshold_in, threshold_out: T of its input and output; equal for layers without weights.
    """

    layer: HardwareLayer
    settings: LayerSettings
    threshold_in: int = 0
    threshold_out: int = 0

    @property
    def threshold(self) -> int:
        """Threshold relative to the producer's; 0 for wide outputs, which are not shifted."""
        return 0 if self.layer.wide else self.threshold_out - self.threshold_in

    @property
    def float32_is_exact(self) -> bool:
        """Whether every partial sum of products is exact in float32, in any order.

        Terms of at most 2^7 · 2^(b−1), one more for the bias, must stay within 2^24.
        """
        layer = self.layer
        taps = 1 if layer.operator is Operator.LINEAR else prod(layer.kernel)
        positions = layer.input_pixels if layer.flatten else 1
        terms = layer.in_channels // layer.groups * taps * positions + 1
        return terms << (6 + self.settings.weight_bits) <= _FLOAT32_EXACT


def gather(layer: HardwareLayer, tensors: Sequence[Tensor], *, quantized: bool) -> Tensor:
    """Return what enters the operator: operands pooled and combined, or concatenated and pooled."""
    if layer.eltwise is None:
        x = torch.cat(list(tensors), dim=1) if len(tensors) > 1 else tensors[0]
        return _pool(x, layer.pool, quantized=quantized)
    if layer.pool_first:
        tensors = [_pool(x, layer.pool, quantized=quantized) for x in tensors]
    total = tensors[0]
    for other in tensors[1:]:
        total = total + other if layer.eltwise is Eltwise.ADD else total - other
    if quantized:
        total = total.clamp(-1.0, _DATA_MAX)
    return total if layer.pool_first else _pool(total, layer.pool, quantized=quantized)


def operate(
    arithmetic: LayerArithmetic,
    x: Tensor,
    weights: Tensor,
    bias: Tensor | None,
    *,
    quantized: bool,
) -> Tensor:
    """Return the output of a layer with weights.

    Args:
        x: Data entering the operator; normalised if `quantized`.
        arithmetic: The layer and its settings.
        weights: Real weights.
        bias: Real bias, or None.
        quantized: Use the accelerator's arithmetic; else plain float.

    Returns:
        Normalised data, or for wide layers real values (in units of the input's threshold).
    """
    layer = arithmetic.layer
    if not quantized:
        return rectify(_operator(layer, x, weights, bias), layer.activation, quantized=False)
    settings = arithmetic.settings
    if bias is not None:
        bias = bias * 2.0**-arithmetic.threshold_in
    scale = weight_scale(
        weights, bias, settings.weight_bits, settings.shift_quantile, arithmetic.threshold
    )
    weights = quantize_weights(weights, scale, settings.weight_bits)
    bias = None if bias is None else quantize_weights(bias, scale, settings.weight_bits)
    if not arithmetic.float32_is_exact:
        x, weights = x.double(), weights.double()
        bias = None if bias is None else bias.double()
    y = _operator(layer, x, weights, bias)
    if layer.wide:
        return y / scale
    shifted = quantize_data(y, 2.0**-arithmetic.threshold / scale, layer.activation)
    return shifted.to(scale.dtype)


def rectify(x: Tensor, activation: Activation, *, quantized: bool) -> Tensor:
    """Return the activation of a tensor; of 8-bit data, |−128| saturates to 127."""
    if activation is Activation.RELU:
        return functional.relu(x)
    if activation is Activation.ABS:
        return x.abs().clamp(max=_DATA_MAX) if quantized else x.abs()
    return x


def _pool(x: Tensor, pool: Pool | None, *, quantized: bool) -> Tensor:
    if pool is None:
        return x
    if max(pool.window) == 1:
        steps = (slice(None), slice(None), *(slice(None, None, s) for s in pool.stride))
        return x[steps]
    if pool.kind is PoolKind.MAX:
        pick: Callable[..., Tensor] = (
            functional.max_pool1d if len(pool.window) == 1 else functional.max_pool2d
        )
        return pick(x, pool.window, pool.stride, dilation=pool.dilation)
    mean: Callable[..., Tensor] = (
        functional.avg_pool1d if len(pool.window) == 1 else functional.avg_pool2d
    )
    average = mean(x, pool.window, pool.stride)
    return truncate_average(average, prod(pool.window)) if quantized else average


def _operator(layer: HardwareLayer, x: Tensor, weights: Tensor, bias: Tensor | None) -> Tensor:
    match layer.operator:
        case Operator.LINEAR:
            return functional.linear(x.flatten(1), weights, bias)
        case Operator.CONV1D:
            return functional.conv1d(
                x, weights, bias, padding=layer.pad, dilation=layer.dilation, groups=layer.groups
            )
        case Operator.CONV_TRANSPOSE2D:
            return functional.conv_transpose2d(
                x, weights, bias, stride=TRANSPOSE_STRIDE, padding=layer.pad,
                output_padding=TRANSPOSE_OUTPUT_PADDING,
            )  # fmt: skip
        case _:
            return functional.conv2d(
                x, weights, bias, padding=layer.pad, dilation=layer.dilation, groups=layer.groups
            )
