"""TAO's change of function: before quantized training every rectifier becomes ReLU6."""

from __future__ import annotations

from dataclasses import replace

from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.nn.rewrite.live import live

#: Source: tao_tensorflow1_backend, commit 2ec95cbb: ReLU, LeakyReLU, PReLU.
_RECTIFIERS = frozenset({Op.RELU, Op.LEAKY_RELU, Op.PRELU})
_HIGHEST = 6.0


def with_relu6(graph: Graph) -> Graph:
    """Return the graph with ReLU6 in place of ReLU, leaky and parametric ReLU."""
    attributes = frozen_mapping({"lo": 0.0, "hi": _HIGHEST})
    nodes = tuple(
        replace(node, op=Op.CLIP, inputs=node.inputs[:1], attributes=attributes)
        if node.op in _RECTIFIERS
        else node
        for node in graph.nodes
    )
    return live(replace(graph, nodes=nodes))
