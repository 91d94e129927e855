"""A constant added behind a layer without bias is its bias."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nibblefit.ir.graph import FloatConstant, Graph, Node, Shape, frozen_mapping
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.nn.names import FIXED
from nibblefit.nn.rewrite.live import is_only_reader, live


def merge_bias(graph: Graph) -> Graph:
    """Return the graph with per-channel constants as biases of the layers before them.

    The layer keeps its name and takes the output tensor of the addition.
    """
    nodes: dict[str, Node] = {}
    constants: dict[str, FloatConstant] = dict(graph.constants)
    makers: dict[str, str] = {}
    for node in graph.nodes:
        merged = _merged(graph, node, {t: nodes[n] for t, n in makers.items()}, constants)
        kept = merged or node
        nodes[kept.name] = kept
        makers.update(dict.fromkeys(kept.outputs, kept.name))
    return live(replace(graph, nodes=tuple(nodes.values()), constants=frozen_mapping(constants)))


def _merged(
    graph: Graph, node: Node, producers: dict[str, Node], constants: dict[str, FloatConstant]
) -> Node | None:  # fmt: skip
    if node.op is not Op.ADD or len(node.inputs) != 2:
        return None
    tensors = [name for name in node.inputs if name in producers]
    addends = [name for name in node.inputs if name in graph.constants]
    if len(tensors) != 1 or len(addends) != 1:
        return None
    layer = producers[tensors[0]]
    is_bare = layer.op in WEIGHTED and len(layer.inputs) == 2
    if not is_bare or not is_only_reader(graph, tensors[0]):
        return None
    shape = graph.shapes[node.output]
    if shape != graph.shapes[tensors[0]]:
        return None
    bias = _per_channel(graph.constants[addends[0]], layer.op, shape)
    if bias is None:
        return None
    readers = sum(other.inputs.count(addends[0]) for other in graph.nodes)
    name = _bias_name(addends[0], bias, constants, is_alone=readers == 1)
    constants[name] = bias
    return replace(layer, inputs=(*layer.inputs, name), outputs=node.outputs)


def _per_channel(value: FloatConstant, op: Op, shape: Shape) -> FloatConstant | None:
    """Return the addend as one value per output channel, or None if it differs within one."""
    place = len(shape) - 1 if op is Op.LINEAR else 0
    full = (1,) * (len(shape) - value.ndim) + value.shape
    if any(size != 1 for axis, size in enumerate(full) if axis != place):
        return None
    bias = value.reshape(-1).repeat(shape[place] // value.size)
    bias.flags.writeable = False
    return bias


def _bias_name(
    name: str, bias: FloatConstant, constants: dict[str, FloatConstant], *, is_alone: bool
) -> str:
    """Return a name under which the bias is trained: its own, or a free one if others read it."""
    wanted = name.removesuffix(FIXED)
    if is_alone and wanted == name:
        return name
    while wanted in constants and not np.array_equal(constants[wanted], bias):
        wanted += ".bias"
    return wanted
