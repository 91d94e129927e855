"""x times the hard sigmoid of x, as older exporters write it, is one hard swish."""

from __future__ import annotations

from dataclasses import replace
from math import isclose

from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.nn.rewrite.live import is_only_reader, live


def join_hard_swish(graph: Graph) -> Graph:
    """Return the graph with HARD_SWISH where an input is multiplied by its own gate."""
    producers = graph.producers()
    nodes = tuple(_joined(graph, node, producers) or node for node in graph.nodes)
    return live(replace(graph, nodes=nodes))


def _joined(graph: Graph, node: Node, producers: dict[str, Node]) -> Node | None:
    if node.op is not Op.MUL or len(node.inputs) != 2:
        return None
    for x, gated in (node.inputs, node.inputs[::-1]):
        gate = producers.get(gated)
        if gate is None or gate.op is not Op.HARD_SIGMOID or gate.inputs != (x,):
            continue
        alpha, beta = gate.attributes.get("alpha", 1 / 6), gate.attributes.get("beta", 0.5)
        if isclose(alpha, 1 / 6, rel_tol=1e-12) and beta == 0.5 and is_only_reader(graph, gated):
            return replace(node, op=Op.HARD_SWISH, inputs=(x,), attributes=frozen_mapping())
    return None
