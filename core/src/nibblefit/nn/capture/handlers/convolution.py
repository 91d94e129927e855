"""Convolutions, plain and transposed."""

# Handlers have the argument names and the argument order of torch.
# ruff: noqa: A002, PLR0917

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from nibblefit.ir.ops import Op
from nibblefit.nn.capture.call import Call, Handler
from nibblefit.nn.problems import Refused

_Sizes = int | Sequence[int]


def per_axis(value: _Sizes, axes: int) -> tuple[int, ...]:
    """Return one integer per spatial axis."""
    if isinstance(value, int):
        return (value,) * axes
    values = tuple(int(v) for v in value)
    return values * axes if len(values) == 1 else values


def _axes(input: Tensor, weight: Tensor) -> int:
    if input.dim() != weight.dim():
        raise Refused(f"its input has {input.dim()} axes", "keep the batch axis")
    return input.dim() - 2


def _pads(padding: _Sizes | str, kernel: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """Return begins and ends; 'same' puts the odd sample at the end, as torch does."""
    if padding == "valid":
        return (0,) * (2 * len(kernel))
    if padding == "same":
        totals = [d * (k - 1) for k, d in zip(kernel, dilation)]
        return (*(t // 2 for t in totals), *(t - t // 2 for t in totals))
    if isinstance(padding, str):
        raise Refused(f"its padding is '{padding}'", "use numbers, 'same' or 'valid'")
    return per_axis(padding, len(kernel)) * 2


def _conv(
    call: Call, input: Tensor, weight: Tensor, bias: Tensor | None = None,
    stride: _Sizes = 1, padding: _Sizes | str = 0, dilation: _Sizes = 1, groups: int = 1,
) -> str:  # fmt: skip
    axes = _axes(input, weight)
    dilations = per_axis(dilation, axes)
    inputs = [call.activation(input), call.weight(weight, "weight")]
    if bias is not None:
        inputs.append(call.weight(bias, "bias"))
    return call.add(
        Op.CONV, inputs, strides=per_axis(stride, axes),
        pads=_pads(padding, tuple(weight.shape[2:]), dilations), dilations=dilations, groups=groups,
    )  # fmt: skip


def _conv_transpose(
    call: Call, input: Tensor, weight: Tensor, bias: Tensor | None = None,
    stride: _Sizes = 1, padding: _Sizes = 0, output_padding: _Sizes = 0, groups: int = 1,
    dilation: _Sizes = 1,
) -> str:  # fmt: skip
    axes = _axes(input, weight)
    inputs = [call.activation(input), call.weight(weight, "weight")]
    if bias is not None:
        inputs.append(call.weight(bias, "bias"))
    return call.add(
        Op.CONV_TRANSPOSE, inputs, strides=per_axis(stride, axes),
        pads=per_axis(padding, axes) * 2, dilations=per_axis(dilation, axes), groups=groups,
        output_padding=per_axis(output_padding, axes),
    )  # fmt: skip


HANDLERS: Mapping[str, Handler] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _conv_transpose),
}
