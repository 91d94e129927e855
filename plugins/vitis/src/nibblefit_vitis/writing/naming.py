"""The original's names for layers, tensors and parameters; they appear in its files only.

Layers are numbered in topological order from the inputs on, after batch norms were folded and
dropout removed: ``Net::nndct_relu_2``. Parameters keep their path in the state dict:
``Net::conv1.weight``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import WEIGHTED, Op

#: Words between ``nndct_`` and the number. Source: pytorch_nndct 3.5, its table of operators.
_WORDS: Mapping[Op, str] = {
    Op.LINEAR: "dense",
    Op.MATMUL: "matmul",
    Op.MAX_POOL: "maxpool",
    Op.GLOBAL_MAX_POOL: "adaptive_max_pool2d",
    Op.AVG_POOL: "avgpool",
    Op.GLOBAL_AVG_POOL: "adaptive_avg_pool2d",
    Op.ADD: "elemwise_add",
    Op.SUB: "elementwise_sub",
    Op.MUL: "elemwise_mul",
    Op.CONCAT: "concat",
    Op.SLICE: "strided_slice",
    Op.SPLIT: "split",
    Op.RELU: "relu",
    Op.LEAKY_RELU: "leaky_relu",
    Op.PRELU: "prelu",
    Op.HARD_SIGMOID: "hsigmoid",
    Op.HARD_SWISH: "hswish",
    Op.SIGMOID: "sigmoid",
    Op.TANH: "tanh",
    Op.SOFTMAX: "softmax",
    Op.ARGMAX: "argmax_dim",
    Op.BATCH_NORM: "batch_norm",
    Op.SCALE_OFFSET: "batch_norm",
    Op.PAD: "pad",
    Op.RESIZE_NEAREST: "resize",
    Op.RESIZE_BILINEAR: "resize",
    Op.PIXEL_SHUFFLE: "pixel_shuffle",
    Op.FLATTEN: "flatten",
    Op.RESHAPE: "reshape",
    Op.TRANSPOSE: "permute",
    Op.IDENTITY: "identity",
    Op.DROPOUT: "dropout",
}
_PARAMETERS = {1: "weight", 2: "bias"}


class OriginalNames:
    """The original's names for a prepared graph.

    Attributes:
        graph: The graph.
        prefix: Its name.
    """

    def __init__(self, graph: Graph, prefix: str = "") -> None:
        self.graph, self.prefix = graph, prefix or graph.name or "network"

    @cached_property
    def tensors(self) -> dict[str, str]:
        """Tensor of ours → name of the node that makes it; inputs are nodes too."""
        found = {
            name: f"{self.prefix}::nndct_input_{index}"
            for index, name in enumerate(self.graph.inputs)
        }
        for number, node in enumerate(self.graph.nodes, len(self.graph.inputs)):
            word = f"nndct_{_word(self.graph, node)}_{number}"
            found.update(dict.fromkeys(node.outputs, f"{self.prefix}::{word}"))
        return found

    @cached_property
    def layers(self) -> dict[str, str]:
        """Node of ours → its name."""
        return {node.name: self.tensors[node.output] for node in self.graph.nodes}

    @cached_property
    def parameters(self) -> dict[str, str]:
        """Constant of ours → its name; of two equal ones the second gets a number."""
        found: dict[str, str] = {}
        taken: set[str] = set()
        for node in self.graph.nodes:
            for place, name in enumerate(node.inputs):
                if name not in self.graph.constants or name in found:
                    continue
                wanted, use = f"{self.prefix}::{_path(node, place, name)}", 1
                made = wanted
                while made in taken:
                    use += 1
                    made = f"{wanted}.{use}"
                taken.add(made)
                found[name] = made
        return found


def _path(node: Node, place: int, name: str) -> str:
    """Return a constant's path in the state dict; exported files may have lost it."""
    if "::" not in name:
        return name
    module = node.source.strip("/").rpartition("/")[0].replace("/", ".") or node.name
    return f"{module}.{_PARAMETERS.get(place, f'parameter_{place}')}"


def _word(graph: Graph, node: Node) -> str:
    if node.op in WEIGHTED and node.op is not Op.LINEAR:
        return _convolution(graph, node)
    if node.op is Op.CLIP:
        relu6 = (node.attributes.get("lo"), node.attributes.get("hi")) == (0, 6)
        return "relu6" if relu6 else "hardtanh"
    return _WORDS.get(node.op, node.op.value)


def _convolution(graph: Graph, node: Node) -> str:
    channels = graph.shapes[node.inputs[0]][0]
    axes = len(graph.shapes[node.inputs[0]]) - 1
    depthwise = "depthwise_" if 1 < node.attributes.get("groups", 1) == channels else ""
    transposed = node.op is Op.CONV_TRANSPOSE
    return f"{depthwise}conv_transpose_{axes}d" if transposed else f"{depthwise}conv{axes}d"
