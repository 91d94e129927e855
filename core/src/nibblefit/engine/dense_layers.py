"""Layers on torch's own convolution and matrix product, in the cheapest exact element type."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from nibblefit.engine.ranges import FLOAT32_EXACT, FLOAT64_EXACT
from nibblefit.engine.task import Kernel, Prepare, Task
from nibblefit.engine.weighted import (
    Layer,
    NotApplicableError,
    pads_inside,
    plus_variable_bias,
)
from nibblefit.ir.ops import Op

Convolve = Callable[..., Tensor]
_CONV: tuple[Convolve, ...] = (functional.conv1d, functional.conv2d, functional.conv3d)
_CONV_TRANSPOSE: tuple[Convolve, ...] = (
    functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d,
)  # fmt: skip


def float32_kernel(task: Task, layer: Layer) -> Kernel:
    """Return the layer in float32; NotApplicableError above 2^24."""
    return _float_kernel(task, layer, torch.float32, FLOAT32_EXACT, "2^24")


def float64_kernel(task: Task, layer: Layer) -> Kernel:
    """Return the layer in float64; NotApplicableError above 2^53."""
    return _float_kernel(task, layer, torch.float64, FLOAT64_EXACT, "2^53")


def int64_kernel(task: Task, layer: Layer) -> Kernel:
    """Return the layer in int64; the caller has shown that no partial sum leaves it."""
    if layer.bound >= 1 << 63:
        raise NotApplicableError("partial sums may leave 64 bits")
    return _kernel(task, layer, torch.int64, "sums below 2^63")


def _float_kernel(task: Task, layer: Layer, dtype: torch.dtype, limit: int, words: str) -> Kernel:
    if layer.bound > limit:
        raise NotApplicableError(f"sums of {layer.bound} exceed {words}")
    return _kernel(task, layer, dtype, f"sums of at most {layer.bound} ≤ {words}")


def _kernel(task: Task, layer: Layer, dtype: torch.dtype, reason: str) -> Kernel:
    run, name = exact_layer(layer, dtype), f"torch {str(dtype).removeprefix('torch.')}"
    is_float = dtype.is_floating_point
    if layer.variable_bias is None:
        return Kernel(lambda x: (run(x),), layer.raw, name, reason, layer.bound, is_float=is_float)
    working = task.working(layer.raw, layer.variable_bias.values)
    return Kernel(lambda x, bias: (plus_variable_bias(layer, run(x), bias, working),),
                  layer.raw, name, reason, layer.bound, is_float=is_float)  # fmt: skip


def exact_layer(layer: Layer, dtype: torch.dtype) -> Prepare:
    """Return the layer, from stored activations to sums of type `dtype`, constant bias added."""
    fetch = layer.x.fetch(torch.int64) if layer.x.steps else lambda t: t
    weights = torch.from_numpy(layer.weights.copy()).to(dtype)
    bias = torch.from_numpy(layer.bias.copy()).to(dtype)
    if layer.op is Op.LINEAR:
        transposed = weights.T.contiguous()
        return lambda x: torch.matmul(fetch(x).to(dtype), transposed) + bias
    spread = bias.reshape(-1, *(1,) * layer.axes)
    sums = (_transposed if layer.op is Op.CONV_TRANSPOSE else _convolved)(layer, weights)
    return lambda x: sums(fetch(x).to(dtype)).add_(spread)


def _convolved(layer: Layer, weights: Tensor) -> Prepare:
    window, convolve = layer.window, _CONV[layer.axes - 1]
    is_plain = pads_inside(window)
    pads = window.begins() if is_plain else (0,) * layer.axes
    around = _around(window.begins(), window.ends())

    def run(x: Tensor) -> Tensor:
        padded = x if is_plain else functional.pad(x, around)
        return convolve(padded, weights, None, window.strides, pads, window.dilations, layer.groups)

    return run


def _transposed(layer: Layer, weights: Tensor) -> Prepare:
    window, convolve = layer.window, _CONV_TRANSPOSE[layer.axes - 1]
    # The whole canvas first; negative padding then cuts the pads off, output padding adds zeros.
    begins = tuple(-b for b in window.begins())
    ends = tuple(e - b for b, e in zip(window.ends(), layer.output_padding, strict=True))
    around = _around(begins, ends)

    def run(x: Tensor) -> Tensor:
        canvas = convolve(x, weights, None, window.strides, 0, 0, layer.groups, window.dilations)
        return functional.pad(canvas, around)

    return run


def _around(begins: tuple[int, ...], ends: tuple[int, ...]) -> list[int]:
    """Return pads in torch's order: last axis first, begin and end of each."""
    return [p for pair in zip(reversed(begins), reversed(ends), strict=True) for p in pair]
