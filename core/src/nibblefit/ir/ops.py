"""Operator names and their attributes, shared by the float graph and the quantized graph.

Layout is channels-first everywhere: (batch, channels, *spatial). Axis numbers count the batch
axis. ``pads`` is (begin of every spatial axis, then end of every spatial axis), as in ONNX.
Operators work for one, two or three spatial axes unless said otherwise.
"""

from __future__ import annotations

from enum import StrEnum


class Op(StrEnum):
    """Operators of the canonical graph. The value is the name written to files."""

    CONV = "conv"  # x, weights (out, in/groups, *k), [bias]: strides, pads, dilations, groups
    CONV_TRANSPOSE = "conv_transpose"  # x, weights (in, out/groups, *k), [bias]: + output_padding
    LINEAR = "linear"  # x (…, in), weights (out, in), [bias]
    MATMUL = "matmul"  # a, b: numpy matmul over the last two axes
    MAX_POOL = "max_pool"  # kernel, strides, pads, dilations, ceil_mode
    AVG_POOL = "avg_pool"  # kernel, strides, pads, dilations, ceil_mode, count_include_pad
    GLOBAL_AVG_POOL = "global_avg_pool"  # keeps spatial axes with size 1
    GLOBAL_MAX_POOL = "global_max_pool"
    ADD = "add"  # two or more inputs, combined left to right, numpy broadcasting
    SUB = "sub"
    MUL = "mul"
    OR = "or"  # bitwise on two's complement
    XOR = "xor"
    CONCAT = "concat"  # axis
    SLICE = "slice"  # axes, starts, ends, strides
    SPLIT = "split"  # axis, sizes; one output per size
    RELU = "relu"
    CLIP = "clip"  # lo, hi (either None); relu6 is clip(0, 6)
    LEAKY_RELU = "leaky_relu"  # float: slope; quantized: negative, positive (step tuples)
    PRELU = "prelu"  # x, slope (per channel); quantized: negative, positive
    ABS = "abs"
    HARD_SIGMOID = "hard_sigmoid"  # clip(alpha * x + beta, 0, 1)
    HARD_SWISH = "hard_swish"  # x * clip(x / 6 + 1/2, 0, 1)
    SIGMOID = "sigmoid"  # quantized: TABLE
    TANH = "tanh"  # quantized: TABLE
    TABLE = "table"  # quantized only: x, table (1-D constant): lowest
    SOFTMAX = "softmax"  # axis; quantized: x, table of exp: numerator, rounding
    ARGMAX = "argmax"  # axis, keepdims; first of equals
    BATCH_NORM = "batch_norm"  # x, gamma, beta, mean, variance: epsilon
    SCALE_OFFSET = "scale_offset"  # x, scale, offset: x * scale + offset per channel
    PAD = "pad"  # pads (all non-batch axes: begins then ends), value
    RESIZE_NEAREST = "resize_nearest"  # sizes, coordinates, nearest_mode
    RESIZE_BILINEAR = "resize_bilinear"  # sizes, coordinates; quantized: weight_bits
    PIXEL_SHUFFLE = "pixel_shuffle"  # factor, order ("crd" torch, "dcr" ONNX default)
    FLATTEN = "flatten"  # start_axis
    RESHAPE = "reshape"  # shape, without the batch axis
    TRANSPOSE = "transpose"  # perm, batch axis first and in place
    IDENTITY = "identity"  # quantized: carries steps only (requantization, rectifiers)
    DROPOUT = "dropout"  # float only: p
    CHOOSE_SHIFT = "choose_shift"  # quantized only: see nibblefit.ir.quantized
    SHIFT_RIGHT = "shift_right"  # quantized only: x, amount (batch, 1): rounding


#: Operators whose second and third inputs are weights and bias.
WEIGHTED = frozenset({Op.CONV, Op.CONV_TRANSPOSE, Op.LINEAR})
#: Operators that combine tensors element by element.
ELEMENTWISE = frozenset({Op.ADD, Op.SUB, Op.MUL, Op.OR, Op.XOR})
#: Operators that only move values: they never change a code, so they keep their input's format.
MOVERS = frozenset(
    {Op.SLICE, Op.SPLIT, Op.FLATTEN, Op.RESHAPE, Op.TRANSPOSE, Op.PIXEL_SHUFFLE,
     Op.RESIZE_NEAREST, Op.MAX_POOL, Op.GLOBAL_MAX_POOL, Op.DROPOUT}
)  # fmt: skip
#: Rectifier-like operators that fuse into the layer before them on most targets.
ACTIVATIONS = frozenset(
    {Op.RELU, Op.CLIP, Op.LEAKY_RELU, Op.PRELU, Op.ABS, Op.HARD_SIGMOID, Op.HARD_SWISH,
     Op.SIGMOID, Op.TANH}
)  # fmt: skip
