"""Forward pass of one hardware layer, in float or with the accelerator's arithmetic.

Quantized data is codes, integers within [−128, 127] held as floats; a tensor with threshold T means
code · 2^(T−7). With relative threshold t = T_out − T_in, weights of b bits scaled by 2^B and the
accumulator A = Σ w·d + 128·q, the output is ⌊A · 2^−(B + b − 1 + t) + ½⌋, clipped. The power of two
goes into the weights, so that the operator's result only has to be rounded: exact, since a power of
two changes no digit.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from nibblefit_maxim.layers import Activation, HardwareLayer, Operator
from nibblefit_maxim.lower import TRANSPOSE_OUTPUT_PADDING, TRANSPOSE_STRIDE
from nibblefit_maxim.qat.rounding import (
    HIGH,
    binary_scale,
    binary_weights,
    quantize_weights,
    round_codes,
    weight_scale,
)
from nibblefit_maxim.scales import BINARY_BIAS_BITS
from nibblefit_maxim.settings import LayerSettings

#: Largest integer up to which float32 holds every integer.
_FLOAT32_EXACT = 1 << 24


@dataclass(frozen=True, slots=True)
class LayerArithmetic:
    """What the forward pass of one layer needs besides tensors.

    Attributes:
        layer: The layer.
        settings: Weight width and quantile.
        threshold_in, threshold_out: T of its input and output; equal for layers without weights.
        magnitude_first: Abs comes before rounding, as the vendor trains; else as the chip does.
    """

    layer: HardwareLayer
    settings: LayerSettings
    threshold_in: int = 0
    threshold_out: int = 0
    magnitude_first: bool = False

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
        if self.settings.is_binary:
            terms += 1 << (BINARY_BIAS_BITS - 1)  # 8-bit bias codes beside 1-bit weights
        return terms << (6 + self.settings.weight_bits) <= _FLOAT32_EXACT

    def scale(self, weights: Tensor, bias: Tensor | None) -> Tensor:
        """Return 2^B of real weights and a bias that is divided by the input's threshold."""
        settings = self.settings
        if settings.is_binary:
            return binary_scale(weights, self.threshold)
        return weight_scale(
            weights, bias, settings.weight_bits, settings.shift_quantile, self.threshold
        )


def operate_float(layer: HardwareLayer, x: Tensor, weights: Tensor, bias: Tensor | None) -> Tensor:
    """Return the real output of a layer with weights, for real data."""
    weights = embedded(layer, weights)
    return rectify(run_operator(layer, x, weights, bias), layer.activation, quantized=False)


def operate(
    arithmetic: LayerArithmetic,
    x: Tensor,
    weights: Tensor,
    bias: Tensor | None,
    *,
    fast: bool = False,
) -> Tensor:
    """Return the output codes of a layer with weights.

    Args:
        arithmetic: The layer and its settings.
        x: Codes entering the operator.
        weights: Real weights.
        bias: Real bias, or None.
        fast: Compute in float32 even where a sum might leave its exact range, as the vendor's
            training does; for training steps. Else every integer is exact.

    Returns:
        Codes, or for wide layers real values in units of the input's threshold.
    """
    layer, dtype = arithmetic.layer, weights.dtype
    weights, bias = _whole_parameters(arithmetic, weights, bias)
    if not fast and not arithmetic.float32_is_exact:
        x, weights = x.double(), weights.double()
        bias = None if bias is None else bias.double()
    if layer.wide:
        return run_operator(layer, x, weights, bias)
    shifted = fast and bias is not None and layer.activation is not Activation.ABS
    if shifted and bias is not None:
        # One pass less over the activations: the bias brings the half along.
        bias = bias + 0.5
    y = run_operator(layer, x, weights, bias)
    codes = round_codes(
        y, layer.activation, shifted=shifted, magnitude_first=arithmetic.magnitude_first
    )
    return codes.to(dtype)


def _whole_parameters(
    arithmetic: LayerArithmetic, weights: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Return the codes of weights and bias, times the power of two that makes output codes."""
    layer, bits = arithmetic.layer, arithmetic.settings.weight_bits
    if bias is not None and arithmetic.threshold_in:
        bias = bias * 2.0**-arithmetic.threshold_in
    scale = arithmetic.scale(weights, bias)
    shift = bits - 1 + (7 if layer.wide else arithmetic.threshold)
    factor = 2.0**-shift / scale
    if arithmetic.settings.is_binary:
        whole = embedded(layer, binary_weights(weights, scale, factor))
        unit, bits = 1.0, BINARY_BIAS_BITS
    else:
        unit = float(1 << (bits - 1))
        whole = embedded(layer, quantize_weights(weights, scale, bits, factor, unit))
    if bias is None:
        return whole, None
    return whole, quantize_weights(bias, scale, bits, factor * 128.0, unit)


def embedded(layer: HardwareLayer, weights: Tensor) -> Tensor:
    """Return stored weights as the hardware's: among zeros, if its kernel is larger."""
    if layer.embedding is None:
        return weights
    filled: Tensor = layer.embedding.fill(weights.new_zeros(layer.embedding.shape), weights)
    return filled


def pass_on(layer: HardwareLayer, x: Tensor) -> Tensor:
    """Return what an identity layer makes of its input: the same, framed, doubled or copied."""
    if layer.copies:
        return _copied(layer, x)
    if layer.operator is Operator.LINEAR:
        return x.flatten(1)
    if layer.operator is Operator.CONV_TRANSPOSE2D:
        return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    frame = [pad - taps // 2 for pad, taps in zip(layer.pad, layer.kernel, strict=True)]
    if not any(frame):
        return x
    return functional.pad(x, [width for size in reversed(frame) for width in (size, size)])


def _copied(layer: HardwareLayer, x: Tensor) -> Tensor:
    """Return shifted copies of the framed input side by side."""
    x = functional.pad(x, [width for size in reversed(layer.pad) for width in (size, size)])
    copies = []
    for tap in layer.copies:
        sides = zip(tap, layer.output_shape[1:], strict=True)
        window = (slice(first, first + size) for first, size in sides)
        copies.append(x[(slice(None), slice(None), *window)])
    return torch.cat(copies, dim=1)


def rectify(x: Tensor, activation: Activation, *, quantized: bool) -> Tensor:
    """Return the activation of a tensor; of codes, |−128| saturates to 127."""
    if activation is Activation.RELU:
        return functional.relu(x)
    if activation is Activation.ABS:
        return x.abs().clamp(max=HIGH) if quantized else x.abs()
    return x


def run_operator(layer: HardwareLayer, x: Tensor, weights: Tensor, bias: Tensor | None) -> Tensor:
    """Return the operator of a layer alone, on whatever numbers it is given."""
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
                output_padding=TRANSPOSE_OUTPUT_PADDING, groups=layer.groups,
            )  # fmt: skip
        case _:
            return functional.conv2d(
                x, weights, bias, padding=layer.pad, dilation=layer.dilation, groups=layer.groups
            )


def wide_unit(arithmetic: LayerArithmetic, weights: Tensor, bias: Tensor | None) -> Tensor:
    """Return what one unit of a wide layer's accumulator means, in units of the input's T."""
    if bias is not None:
        bias = bias * 2.0**-arithmetic.threshold_in
    scale = arithmetic.scale(weights, bias).double()
    return torch.ldexp(1.0 / scale, torch.tensor(-(6 + arithmetic.settings.weight_bits)))
