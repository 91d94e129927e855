"""Names under which a file may mean kinds of layers: torch's classes, and the original's words.

Source of the original's words: pytorch_nndct 3.5, operator names in generated layer names.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op

#: Operator → names; # stands for the number of spatial axes.
_NAMES: Mapping[Op, str] = MappingProxyType({
    Op.CONV: "Conv#d conv#d",
    Op.CONV_TRANSPOSE: "ConvTranspose#d conv_transpose_#d",
    Op.LINEAR: "Linear addmm dense",
    Op.MATMUL: "matmul bmm",
    Op.MAX_POOL: "MaxPool#d max_pool#d maxpool maxpool#d",
    Op.AVG_POOL: "AvgPool#d avg_pool#d avgpool avgpool#d",
    Op.GLOBAL_AVG_POOL: "AdaptiveAvgPool#d adaptive_avg_pool#d adaptiveavgpool#d mean avgpool",
    Op.GLOBAL_MAX_POOL: "AdaptiveMaxPool#d adaptive_max_pool#d max maxpool",
    Op.ADD: "add elemwise_add",
    Op.SUB: "sub elemwise_sub",
    Op.MUL: "mul elemwise_mul",
    Op.CONCAT: "cat concat",
    Op.SLICE: "slice strided_slice",
    Op.SPLIT: "split chunk",
    Op.RELU: "ReLU relu",
    Op.CLIP: "Hardtanh hardtanh clamp clip",
    Op.LEAKY_RELU: "LeakyReLU leaky_relu",
    Op.PRELU: "PReLU prelu",
    Op.ABS: "abs",
    Op.HARD_SIGMOID: "Hardsigmoid hardsigmoid hsigmoid",
    Op.HARD_SWISH: "Hardswish hardswish hswish",
    Op.SIGMOID: "Sigmoid sigmoid",
    Op.TANH: "Tanh tanh",
    Op.SOFTMAX: "Softmax softmax",
    Op.ARGMAX: "argmax",
    Op.BATCH_NORM: "BatchNorm#d batch_norm",
    Op.SCALE_OFFSET: "BatchNorm#d batch_norm scale",
    Op.PAD: "ZeroPad#d ConstantPad#d pad",
    Op.RESIZE_NEAREST: "Upsample UpsamplingNearest#d interpolate resize",
    Op.RESIZE_BILINEAR: "Upsample UpsamplingBilinear#d interpolate resize",
    Op.PIXEL_SHUFFLE: "PixelShuffle pixel_shuffle",
    Op.FLATTEN: "Flatten flatten",
    Op.RESHAPE: "reshape view",
    Op.TRANSPOSE: "transpose permute",
    Op.DROPOUT: "Dropout dropout",
    Op.IDENTITY: "Identity",
})  # fmt: skip

#: Name under which the network's inputs are meant.
INPUT = "input"


def type_names(node: Node, graph: Graph, *, parity: bool = False) -> frozenset[str]:
    """Return every name of a layer's kind, in small letters.

    For the original a depthwise convolution is a type of its own, which ``Conv2d`` does not mean;
    with `parity` it is so here. Source: recording ``cpu_layer`` of pytorch_nndct 3.5.
    """
    axes = max(len(graph.shapes[node.output]) - 1, 1)
    if node.op in (Op.BATCH_NORM, Op.SCALE_OFFSET) and len(graph.shapes[node.output]) == 1:
        axes = 1
    words = _NAMES.get(node.op, "").replace("#", str(axes)).split()
    if parity and _is_depthwise(node, graph):
        return frozenset({f"depthwise_conv{axes}d"})
    if node.op is Op.CONV and int(node.attributes.get("groups", 1)) > 1:
        words.append(f"depthwise_conv{axes}d")
    if node.op is Op.CLIP and (node.attributes.get("lo"), node.attributes.get("hi")) == (0.0, 6.0):
        words += ["ReLU6", "relu6"]
    return frozenset(word.lower() for word in (*words, node.op.value))


def _is_depthwise(node: Node, graph: Graph) -> bool:
    groups = int(node.attributes.get("groups", 1))
    return node.op is Op.CONV and 1 < groups == graph.shapes[node.inputs[0]][0]


def known_types() -> tuple[str, ...]:
    """Return all names of kinds, for suggestions."""
    words = (word for names in _NAMES.values() for word in names.split())
    return tuple({word.replace("#", axes): None for word in words for axes in "123"})
