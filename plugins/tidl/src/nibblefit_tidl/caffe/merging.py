"""BatchNorm and the Scale behind it, two layers in BVLC's dialect, become one node."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op
from nibblefit.nn.names import FIXED
from nibblefit.nn.rewrite.live import is_only_reader, live


def merge_scale(graph: Graph) -> Graph:
    """Return the graph with every plain batch norm joined to the scale that alone reads it."""
    producers = graph.producers()
    joined: dict[str, Node] = {}
    gone: set[str] = set()
    for scale in graph.nodes:
        norm = producers.get(scale.inputs[0]) if scale.op is Op.SCALE_OFFSET else None
        if norm is None or norm.op is not Op.BATCH_NORM or not _is_plain(graph, norm):
            continue
        if is_only_reader(graph, norm.output):
            inputs = (norm.inputs[0], *scale.inputs[1:], *norm.inputs[3:])
            joined[norm.name] = replace(norm, inputs=inputs, outputs=scale.outputs)
            gone.add(scale.name)
    if not gone:
        return graph
    nodes = tuple(joined.get(node.name, node) for node in graph.nodes if node.name not in gone)
    return live(replace(graph, nodes=nodes))


def _is_plain(graph: Graph, norm: Node) -> bool:
    """Return whether a batch norm has neither scale nor offset of its own."""
    gamma, beta = norm.inputs[1:3]
    return (
        gamma.endswith(FIXED)
        and beta.endswith(FIXED)
        and bool(np.all(graph.constants[gamma] == 1))
        and not np.any(graph.constants[beta])
    )
