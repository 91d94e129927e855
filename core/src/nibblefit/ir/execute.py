"""One table from operator to formula, shared by the judge and the float reference.

Both call the same functions of `nibblefit.fixed.operators`; only operators whose integer meaning
differs from their float meaning have an entry of their own in the two executions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nibblefit.fixed.operators import (
    activation,
    convolution,
    elementwise,
    pooling,
    resize,
    shape,
    softmax,
)
from nibblefit.fixed.operators.product import Array
from nibblefit.ir.attributes import spatial, window_of
from nibblefit.ir.graph import Attributes
from nibblefit.ir.ops import ELEMENTWISE, Op

#: Attributes and inputs (batch first; parameters such as weights without batch) to all outputs.
Formula = Callable[[Attributes, Sequence[Array]], Sequence[Array]]

#: Input positions that hold parameters, which have no batch axis even in a formula. A constant
#: anywhere else stands for the same value in every image and gets a batch axis of one.
PARAMETERS: Mapping[Op, frozenset[int]] = {
    Op.CONV: frozenset({1, 2}),
    Op.CONV_TRANSPOSE: frozenset({1, 2}),
    Op.LINEAR: frozenset({1, 2}),
    Op.PRELU: frozenset({1}),
    Op.TABLE: frozenset({1}),
    Op.SOFTMAX: frozenset({1}),
    Op.BATCH_NORM: frozenset({1, 2, 3, 4}),
    Op.SCALE_OFFSET: frozenset({1, 2}),
}
_NO_PARAMETERS: frozenset[int] = frozenset()


def parameters_of(op: Op) -> frozenset[int]:
    """Return the input positions of an operator that hold parameters."""
    return PARAMETERS.get(op, _NO_PARAMETERS)


def _bias(inputs: Sequence[Array]) -> Array | None:
    return inputs[2] if len(inputs) > 2 else None


def _conv(attributes: Attributes, inputs: Sequence[Array]) -> Sequence[Array]:
    x, weights = inputs[:2]
    window = window_of(attributes, weights.shape[2:])
    groups = attributes.get("groups", 1)
    return (convolution.conv(x, weights, _bias(inputs), window, groups),)


def _conv_transpose(attributes: Attributes, inputs: Sequence[Array]) -> Sequence[Array]:
    x, weights = inputs[:2]
    window = window_of(attributes, weights.shape[2:])
    extra = spatial(attributes, "output_padding", x.ndim - 2, 0)
    groups = attributes.get("groups", 1)
    bias = _bias(inputs)
    y = convolution.conv_transpose(x, weights, bias, window, output_padding=extra, groups=groups)
    return (y,)


def _max_pool(attributes: Attributes, inputs: Sequence[Array]) -> Sequence[Array]:
    return (pooling.max_pool(inputs[0], window_of(attributes, tuple(attributes["kernel"]))),)


def _slice(attributes: Attributes, inputs: Sequence[Array]) -> Sequence[Array]:
    axes = attributes["axes"]
    strides = attributes.get("strides") or (1,) * len(axes)
    return (shape.cut(inputs[0], axes, attributes["starts"], attributes["ends"], strides),)


def _resize_nearest(attributes: Attributes, inputs: Sequence[Array]) -> Sequence[Array]:
    mode = attributes.get("nearest_mode", "floor")
    coordinates = attributes["coordinates"]
    return (resize.resize_nearest(inputs[0], attributes["sizes"], coordinates, mode),)


def _resize_bilinear(attributes: Attributes, inputs: Sequence[Array]) -> Sequence[Array]:
    bits = attributes.get("weight_bits", 0)
    return (resize.resize_linear(inputs[0], attributes["sizes"], attributes["coordinates"], bits),)


def _pixel_shuffle(attributes: Attributes, inputs: Sequence[Array]) -> Sequence[Array]:
    order = attributes.get("order", "crd")
    return (shape.pixel_shuffle(inputs[0], attributes["factor"], order),)


def _argmax(attributes: Attributes, inputs: Sequence[Array]) -> Sequence[Array]:
    return (softmax.argmax(inputs[0], attributes["axis"], attributes.get("keepdims", False)),)


def _elementwise(op: Op) -> Formula:
    return lambda _, inputs: (elementwise.combine(op.value, inputs),)


#: Operators with one formula for both graphs.
SHARED_FORMULAS: Mapping[Op, Formula] = {
    Op.CONV: _conv,
    Op.CONV_TRANSPOSE: _conv_transpose,
    Op.LINEAR: lambda _, i: (convolution.linear(i[0], i[1], _bias(i)),),
    Op.MATMUL: lambda _, i: (convolution.matmul(i[0], i[1]),),
    Op.MAX_POOL: _max_pool,
    Op.GLOBAL_MAX_POOL: lambda _, i: (pooling.global_max_pool(i[0]),),
    **{op: _elementwise(op) for op in ELEMENTWISE},
    Op.CONCAT: lambda a, i: (shape.concat(i, a["axis"]),),
    Op.SLICE: _slice,
    Op.SPLIT: lambda a, i: shape.split(i[0], a["axis"], a["sizes"]),
    Op.RELU: lambda _, i: (activation.relu(i[0]),),
    Op.CLIP: lambda a, i: (activation.clip(i[0], a["lo"], a["hi"]),),
    Op.ABS: lambda _, i: (activation.absolute(i[0]),),
    Op.ARGMAX: _argmax,
    Op.SCALE_OFFSET: lambda _, i: (elementwise.scale_offset(i[0], i[1], i[2]),),
    Op.PAD: lambda a, i: (shape.pad(i[0], a["pads"], a.get("value", 0)),),
    Op.RESIZE_NEAREST: _resize_nearest,
    Op.RESIZE_BILINEAR: _resize_bilinear,
    Op.PIXEL_SHUFFLE: _pixel_shuffle,
    Op.FLATTEN: lambda a, i: (shape.flatten(i[0], a.get("start_axis", 1)),),
    Op.RESHAPE: lambda a, i: (shape.reshape(i[0], a["shape"]),),
    Op.TRANSPOSE: lambda a, i: (shape.transpose(i[0], a["perm"]),),
    Op.IDENTITY: lambda _, i: (i[0],),
}
