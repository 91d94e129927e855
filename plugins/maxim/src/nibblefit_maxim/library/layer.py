"""One module for all fused layers: pooling, operator, batch norm and activation in a row."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn

from nibblefit.errors import InputError
from nibblefit_maxim.layers import Activation, HardwareLayer, Operator
from nibblefit_maxim.library.forms import Form
from nibblefit_maxim.lower import TRANSPOSE_OUTPUT_PADDING, TRANSPOSE_STRIDE
from nibblefit_maxim.parts import MAX_PAD, MAX_POOL_STRIDE, MAX_POOL_WINDOW
from nibblefit_maxim.qat.layer import LayerArithmetic, operate
from nibblefit_maxim.qat.rounding import whole_average
from nibblefit_maxim.settings import LayerSettings

_ACTIVATIONS = {None: Activation.NONE, "ReLU": Activation.RELU, "Abs": Activation.ABS}
_CONVOLUTIONS: Mapping[str, Any] = {
    "conv1d": nn.Conv1d, "conv2d": nn.Conv2d, "convtranspose2d": nn.ConvTranspose2d,
}  # fmt: skip
_NORMS: Mapping[int, Any] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}
_POOLS: Mapping[tuple[str, int], Any] = {
    ("Max", 1): nn.MaxPool1d, ("Max", 2): nn.MaxPool2d,
    ("Avg", 1): nn.AvgPool1d, ("Avg", 2): nn.AvgPool2d,
}  # fmt: skip
#: Linear layers of the vendor's training take and give at most this many features.
MAX_FEATURES = 1024
#: Bounds of data, and of 32-bit results, in the vendor's training.
DATA_BOUNDS, WIDE_BOUNDS = (-1.0, 127 / 128), (-(2.0**15), 2.0**15 - 1)


class Mode(StrEnum):
    """How a layer computes.

    Attributes:
        PLAIN: Its modules in a row, real numbers: what capture sees, and generation 2 before QAT.
        CLAMPED: Generation 1 before QAT: batch norm divided by four, everything within ±1.
        QUANTIZED: The chip's arithmetic, straight-through gradients.
    """

    PLAIN = "plain"
    CLAMPED = "clamped"
    QUANTIZED = "quantized"


class FusedLayer(nn.Module):
    """A fused layer of the accelerator.

    Parameters are called ``op.weight``, ``op.bias`` and ``bn.*``, as in vendor checkpoints.

    Args:
        form: Which class it is.
        op: Convolution, linear layer, or None.
        pool: Pooling in front of it, or None.
        bn: Batch norm behind it, or None.
        activation: What follows.
        wide: The 32-bit accumulator is the output.
        weight_bits: Width of the weights once quantized: 8, 4, 2, 1 or ``binary``.
    """

    mode: Mode = Mode.PLAIN
    #: Abs before rounding, as the vendor trains; False: after it, as the chip computes.
    magnitude_first: bool = False

    def __init__(
        self, form: Form, op: nn.Module | None, pool: nn.Module | None, bn: nn.Module | None,
        activation: Activation, *, wide: bool, weight_bits: int | str,
    ) -> None:  # fmt: skip
        super().__init__()
        self.form = form
        self.pool, self.op, self.bn = pool, op, bn
        self.activation = activation
        self.wide = wide
        self.settings = LayerSettings().with_width(weight_bits or 8)
        #: Generation 2: threshold of the output relative to the producer's, and of the result.
        self.activation_threshold, self.final_scale = 0, 0

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output in its mode."""
        if self.mode is Mode.QUANTIZED:
            return self._quantized(x)
        clamped = self.mode is Mode.CLAMPED
        if self.pool is not None:
            x = self.pool(x)
            x = x.clamp(*DATA_BOUNDS) if clamped else x
        if self.op is None:
            return x
        x = self.op(x)
        if self.bn is not None:
            x = self.bn(x) / 4 if clamped else self.bn(x)
        if self.activation is Activation.RELU:
            x = torch.relu(x)
        elif self.activation is Activation.ABS:
            x = torch.abs(x)
        if clamped:
            x = x.clamp(*(WIDE_BOUNDS if self.wide else DATA_BOUNDS))
        return x

    def _quantized(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = self.pool(x)
            if isinstance(self.pool, nn.AvgPool1d | nn.AvgPool2d):
                x = whole_average(x * 128.0, _window(self.pool)) / 128.0
        if self.op is None:
            return x.clamp(*DATA_BOUNDS)
        op: Any = self.op
        weights, bias = op.weight, op.bias
        arithmetic = self.arithmetic()
        y = operate(arithmetic, x * 128.0, weights, bias, fast=self.training)
        # The vendor leaves the power of two of the weights in 32-bit results.
        y = y * arithmetic.scale(weights, bias) if self.wide else y / 128.0
        return y * 2.0**self.final_scale

    def arithmetic(self) -> LayerArithmetic:
        """Return what the chip's arithmetic of this layer needs.

        Raises:
            InputError: Batch norm has not been folded yet.
        """
        if self.bn is not None:
            raise InputError(
                f"{self.form.name}: batch norm is not folded",
                hint="start quantized training with nibblefit_maxim.library.start_qat(model)",
            )
        return LayerArithmetic(
            _hardware(self), self.settings, 0, self.activation_threshold, self.magnitude_first
        )

    def extra_repr(self) -> str:
        """Return mode and settings for printing."""
        wide = ", wide" if self.wide else ""
        return f"{self.activation}{wide}, {self.mode}, {self.settings.width} bits"


def _window(pool: Any) -> int:
    size = pool.kernel_size
    sizes = size if isinstance(size, tuple) else (size,) * (1 + isinstance(pool, nn.AvgPool2d))
    count = 1
    for one in sizes:
        count *= int(one)
    return count


def _hardware(layer: FusedLayer) -> HardwareLayer:
    op: Any = layer.op
    if layer.form.operator == "linear":
        return HardwareLayer(
            layer.form.name, Operator.LINEAR, ("x",), (op.in_features,), (op.out_features,),
            activation=layer.activation, wide=layer.wide,
        )  # fmt: skip
    ones = (1,) * layer.form.axes
    return HardwareLayer(
        layer.form.name, Operator(layer.form.operator), ("x",), (op.in_channels, *ones),
        (op.out_channels, *ones), kernel=op.kernel_size, pad=op.padding, dilation=op.dilation,
        groups=op.groups, activation=layer.activation, wide=layer.wide,
    )  # fmt: skip


def build_pool(form: Form, pooling: str | None, size: Any, stride: Any, dilation: Any) -> Any:
    """Return the pooling module, None without pooling; `stride` None means the window.

    Raises:
        InputError: A window or stride the hardware does not have.
    """
    if pooling is None:
        return None
    stride = size if stride is None else stride
    for name, value, most in (
        ("pool_size", size, MAX_POOL_WINDOW), ("pool_stride", stride, MAX_POOL_STRIDE),
    ):  # fmt: skip
        sides = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(side, int) and 1 <= side <= most for side in sides):
            raise InputError(f"{form.name}: {name} is {value!r}; expected 1 to {most} each side")
    if (pooling, form.axes) not in _POOLS:
        raise InputError(f"{form.name}: pooling is {pooling!r}; expected 'Max' or 'Avg'")
    if pooling == "Max":
        return _POOLS[pooling, form.axes](size, stride, dilation=dilation)
    return _POOLS[pooling, form.axes](size, stride)


def build_op(form: Form, arguments: Mapping[str, Any]) -> nn.Module:
    """Return the convolution.

    Raises:
        InputError: Arguments the hardware does not have.
    """
    kernel, stride, pad = arguments["kernel_size"], arguments["stride"], arguments["padding"]
    if not 0 <= pad <= MAX_PAD:
        raise InputError(f"{form.name}: padding is {pad}; expected 0 to {MAX_PAD}")
    more: dict[str, Any] = {}
    if form.operator == "convtranspose2d":
        if stride != TRANSPOSE_STRIDE:
            raise InputError(
                f"{form.name}: stride is {stride}; expected {TRANSPOSE_STRIDE}",
                hint=f"pass stride={TRANSPOSE_STRIDE}; the default of 1 does not exist here",
            )
        more["output_padding"] = TRANSPOSE_OUTPUT_PADDING
    groups = arguments["in_channels"] if form.depthwise else arguments["groups"]
    made: nn.Module = _CONVOLUTIONS[form.operator](
        arguments["in_channels"], arguments["out_channels"], kernel, stride=stride, padding=pad,
        dilation=arguments["dilation"], groups=groups, bias=bool(arguments["bias"]), **more,
    )  # fmt: skip
    return made


def build_norm(form: Form, kind: str | None, channels: int, eps: float, momentum: float) -> Any:
    """Return the batch norm: kind ``Affine``, ``NoAffine`` or None."""
    if kind is None:
        return None
    if kind not in ("Affine", "NoAffine"):
        raise InputError(f"{form.name}: batchnorm is {kind!r}; expected 'Affine' or 'NoAffine'")
    return _NORMS[form.axes](channels, eps=eps, momentum=momentum, affine=kind == "Affine")


def activation_of(form: Form, word: str | None, *, wide: bool) -> Activation:
    """Return the activation of a constructor's word.

    Raises:
        InputError: An unknown word, or an activation behind a 32-bit output.
    """
    if word not in _ACTIVATIONS:
        raise InputError(f"{form.name}: activation is {word!r}; expected 'ReLU', 'Abs' or None")
    if wide and word is not None:
        raise InputError(f"{form.name}: a wide (32-bit) output has no activation")
    return _ACTIVATIONS[word]
