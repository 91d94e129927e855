"""Sums, products and batch norms that stand alone."""

from __future__ import annotations

import math

from nibblefit_vitis.devices.dpu import Dpu
from nibblefit_vitis.inspection.layer import Layer, Shape, Sort, times
from nibblefit_vitis.inspection.rules.verdict import Fits, Refusal, Verdict

_WORDS = {Sort.ADD: "add", Sort.SUB: "sub", Sort.MUL: "mult"}
_INSTEAD = {
    Sort.ADD: "add it to the bias of the layer before",
    Sort.SUB: "negate the weights before it and add",
    Sort.MUL: "multiply the weights of the layer before",
}


def elementwise(layer: Layer, dpu: Dpu) -> Verdict:
    """Judge a sum, difference or product of two tensors, or of a tensor and a constant."""
    if "constant" in layer.facts:
        return _with_constant(layer, dpu)
    word = _WORDS[layer.sort]
    if word not in dpu.elementwise:
        return Refusal("vitis.engine", f"{dpu.name} has no {layer.sort.value}s of two tensors",
                       _INSTEAD[layer.sort])  # fmt: skip
    shapes = {shape for shape in layer.input_shapes if shape is not None}
    if len(shapes) > 1:
        shown = " and ".join(times(shape) for shape in layer.input_shapes)
        return Refusal("vitis.broadcast", f"operands of {shown}: allowed are equal shapes",
                       "give both operands the same shape")  # fmt: skip
    return Fits("element-wise engine")


def _with_constant(layer: Layer, dpu: Dpu) -> Verdict:
    if layer.sort is Sort.MUL and _is_per_channel(layer.facts["constant"], layer.shape):
        return as_depthwise(layer, dpu)
    return Refusal("vitis.constant", f"a {layer.sort.value} with a constant",
                   _INSTEAD[layer.sort])  # fmt: skip


def as_depthwise(layer: Layer, dpu: Dpu) -> Verdict:
    """Judge one factor per channel, which runs as a depthwise 1×1 convolution."""
    if dpu.depthwise is None or 1 not in dpu.depthwise.window.kernel:
        return Refusal("vitis.engine", f"one factor per channel needs a depthwise 1×1 convolution, "
                       f"which {dpu.name} lacks", "fold it into a convolution")  # fmt: skip
    channels = layer.shape[0] if layer.shape else 0
    if channels > dpu.most_channels:
        return Refusal("vitis.channels", f"{channels} channels: at most {dpu.most_channels}",
                       "use fewer channels")  # fmt: skip
    return Fits("depthwise 1×1 convolution")


def _is_per_channel(constant: Shape, shape: Shape) -> bool:
    """Return whether a constant has one value, or one per channel of an image."""
    if constant is None or shape is None or len(shape) < 2:
        return False
    return math.prod(constant) in (1, shape[0]) and max((*constant, 1)) == math.prod(constant)
