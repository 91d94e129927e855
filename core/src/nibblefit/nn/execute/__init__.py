"""Every operator of the float graph in torch, differentiable: one function per operator.

A function takes the node's attributes and its inputs (activations with batch axis, constants as
they are stored) and returns the output, or a tuple of outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from torch import Tensor

from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit.nn.execute import (
    activations,
    arithmetic,
    convolution,
    movers,
    normalization,
    pooling,
    resizing,
)

Execute: TypeAlias = Callable[[Mapping[str, Any], Sequence[Tensor]], Tensor | tuple[Tensor, ...]]

EXECUTE: Mapping[Op, Execute] = {
    Op.CONV: convolution.conv,
    Op.CONV_TRANSPOSE: convolution.conv_transpose,
    Op.LINEAR: convolution.linear,
    Op.MATMUL: convolution.matmul,
    Op.MAX_POOL: pooling.max_pool,
    Op.AVG_POOL: pooling.avg_pool,
    Op.GLOBAL_AVG_POOL: pooling.global_avg_pool,
    Op.GLOBAL_MAX_POOL: pooling.global_max_pool,
    Op.ADD: arithmetic.add,
    Op.SUB: arithmetic.sub,
    Op.MUL: arithmetic.mul,
    Op.OR: arithmetic.bitwise_or,
    Op.XOR: arithmetic.bitwise_xor,
    Op.CONCAT: arithmetic.concat,
    Op.SCALE_OFFSET: normalization.scale_offset,
    Op.RELU: activations.relu,
    Op.CLIP: activations.clip,
    Op.LEAKY_RELU: activations.leaky_relu,
    Op.PRELU: activations.prelu,
    Op.ABS: activations.absolute,
    Op.HARD_SIGMOID: activations.hard_sigmoid,
    Op.HARD_SWISH: activations.hard_swish,
    Op.SIGMOID: activations.sigmoid,
    Op.TANH: activations.tanh,
    Op.SOFTMAX: activations.softmax,
    Op.ARGMAX: activations.argmax,
    Op.SLICE: movers.slices,
    Op.SPLIT: movers.split,
    Op.PAD: movers.pad,
    Op.FLATTEN: movers.flatten,
    Op.RESHAPE: movers.reshape,
    Op.TRANSPOSE: movers.transpose,
    Op.PIXEL_SHUFFLE: movers.pixel_shuffle,
    Op.IDENTITY: movers.identity,
    Op.RESIZE_NEAREST: resizing.nearest,
    Op.RESIZE_BILINEAR: resizing.bilinear,
}
"""Operators whose result does not depend on whether the network is being trained."""

IN_TRAINING: Mapping[Op, Callable[..., Tensor]] = {
    Op.BATCH_NORM: normalization.batch_norm,
    Op.DROPOUT: normalization.dropout,
}
"""Operators that take a third argument: whether the network is being trained."""


def outputs_of(
    node: Node, inputs: Sequence[Tensor], *, training: bool = False
) -> tuple[Tensor, ...]:  # fmt: skip
    """Return the outputs of a node in the node's order."""
    if node.op in IN_TRAINING:
        return (IN_TRAINING[node.op](node.attributes, inputs, training),)
    found = EXECUTE[node.op](node.attributes, inputs)
    return found if isinstance(found, tuple) else (found,)
