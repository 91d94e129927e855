"""Convolutions, transposed convolutions, dense layers and matrix products."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from nibblefit.fixed.geometry import Window
from nibblefit.ir.attributes import window_of
from nibblefit.ir.graph import Node, Shape
from nibblefit.ir.ops import Op
from nibblefit_vitis.xir.attributes import flag, number, numbers, window_attributes
from nibblefit_vitis.xir.building import Array, Builder
from nibblefit_vitis.xir.graph import Attribute


def _convolution(builder: Builder, node: Node) -> None:
    kernel, groups = _kernel(builder, node), node.attributes.get("groups", 1)
    channels = builder.graph.shapes[node.inputs[0]][0]
    depthwise = 1 < groups == channels
    kind = "depthwise-conv2d" if depthwise else "conv2d"
    weights = builder.parameter(
        node, 1, lambda array: _depthwise(array, groups) if depthwise else _out_first(array)
    )
    _emit(builder, node, kind, weights, window_of(node.attributes, kernel))


def _transposed(builder: Builder, node: Node) -> None:
    kernel, groups = _kernel(builder, node), node.attributes.get("groups", 1)
    window = window_of(node.attributes, kernel)
    if any(node.attributes.get("output_padding") or ()):
        raise builder.refuse(node, "it has output padding",
                             "choose a kernel, stride and padding without")  # fmt: skip
    channels = builder.graph.shapes[node.inputs[0]][0]
    depthwise = 1 < groups == channels
    if groups > 1 and not depthwise:
        raise builder.refuse(node, f"it has {groups} groups", "use 1 group, or one per channel")
    spans = [(k - 1) * d for k, d in zip(window.kernel, window.dilations, strict=True)]
    pads = tuple(span - pad for span, pad in zip((*spans, *spans), window.pads, strict=True))
    if min(pads) < 0:
        raise builder.refuse(node, f"padding {window.pads} exceeds the kernel", "reduce it")
    turned = Window(window.kernel, window.strides, pads, window.dilations)
    weights = builder.parameter(
        node, 1, lambda array: _flipped_depthwise(array) if depthwise else _flipped(array)
    )
    kind = "transposed-depthwise-conv2d" if depthwise else "transposed-conv2d"
    _emit(builder, node, kind, weights, turned)


def _emit(builder: Builder, node: Node, kind: str, weights: str, window: Window) -> None:
    arguments = {"input": (builder.usual(builder.value(node, 0)).operator,), "weights": (weights,)}
    if len(node.inputs) > 2:
        arguments["bias"] = (builder.parameter(node, 2),)
    shape = (1, *builder.graph.shapes[node.output])
    attributes: dict[str, Attribute] = {
        **window_attributes(window.kernel, window.strides, window.pads),
        "dilation": numbers(reversed(window.dilations)),
        "group": number(node.attributes.get("groups", 1)),
        "in_dim": number(builder.graph.shapes[node.inputs[0]][0]),
        "out_dim": number(shape[1]),
        "bias_term": flag(len(node.inputs) > 2),
    }
    made = builder.emit(builder.name_of(node), kind, arguments, attributes, shape)
    builder.finish(node.output, made)


def _kernel(builder: Builder, node: Node) -> tuple[int, ...]:
    kernel: tuple[int, ...] = builder.graph.constants[node.inputs[1]].shape[2:]
    if len(kernel) != 2:
        raise builder.refuse(node, f"it has {len(kernel)} spatial axes",
                             "layers with height and width only are written")  # fmt: skip
    return kernel


def _out_first(weights: Array) -> Array:
    """Return (out, in, h, w) as (out, h, w, in)."""
    return weights.transpose(0, 2, 3, 1)


def _depthwise(weights: Array, groups: int) -> Array:
    """Return (in · multiplier, 1, h, w) as (multiplier, h, w, in)."""
    multiplier = weights.shape[0] // groups
    return weights.reshape(groups, multiplier, *weights.shape[2:]).transpose(1, 2, 3, 0)


def _flipped(weights: Array) -> Array:
    """Return (in, out, h, w) as (out, h, w, in), turned by half a circle."""
    return np.flip(weights, (2, 3)).transpose(1, 2, 3, 0)


def _flipped_depthwise(weights: Array) -> Array:
    """Return (in, multiplier, h, w) as (multiplier, h, w, in), turned by half a circle."""
    return np.flip(weights, (2, 3)).transpose(1, 2, 3, 0)


def _dense(builder: Builder, node: Node) -> None:
    given = builder.plain(builder.value(node, 0))
    weights = builder.parameter(
        node, 1, lambda array: _channels_last_columns(array, given.image) if given.image else array,
        arrangement=str(given.image),
    )  # fmt: skip
    arguments: dict[str, tuple[str, ...]] = {"input": (given.operator, weights)}
    if len(node.inputs) > 2:
        arguments["bias"] = (builder.parameter(node, 2),)
    _multiply(builder, node, arguments, transposed=True)


def _channels_last_columns(weights: Array, image: Shape) -> Array:
    """Return (out, channels · h · w) as (out, h · w · channels)."""
    channels = image[0]
    turned = weights.reshape(len(weights), channels, -1).transpose(0, 2, 1)
    return turned.reshape(weights.shape)


def _matmul(builder: Builder, node: Node) -> None:
    operands = tuple(builder.plain(builder.value(node, index)).operator for index in range(2))
    _multiply(builder, node, {"input": operands}, transposed=False)


def _multiply(builder: Builder, node: Node, arguments: Mapping[str, tuple[str, ...]], *,
              transposed: bool) -> None:  # fmt: skip
    shape = (1, *builder.graph.shapes[node.output])
    attributes = {"transpose_a": flag(False), "transpose_b": flag(transposed)}
    made = builder.emit(builder.name_of(node), "matmul", arguments, attributes, shape,
                        tuple(range(len(shape))))  # fmt: skip
    builder.finish(node.output, made)


EMITTERS: Mapping[Op, Callable[[Builder, Node], None]] = {
    Op.CONV: _convolution,
    Op.CONV_TRANSPOSE: _transposed,
    Op.LINEAR: _dense,
    Op.MATMUL: _matmul,
}
