"""Take nodes that pass their input on out of a graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.nn.rewrite.live import live


def bypass(graph: Graph, passes_on: Callable[[Node], bool]) -> Graph:
    """Return the graph with every reader of a passing node moved to that node's input.

    A node whose removal would leave two equal outputs, or an input as output, stays as IDENTITY.
    """
    moved: dict[str, str] = {}
    outputs = list(graph.outputs)
    nodes = []
    for node in graph.nodes:
        node = replace(node, inputs=tuple(moved.get(n, n) for n in node.inputs))  # noqa: PLW2901
        if not passes_on(node):
            nodes.append(node)
            continue
        source = node.inputs[0]
        if node.output in outputs and (source in graph.inputs or source in outputs):
            nodes.append(replace(node, op=Op.IDENTITY, attributes=frozen_mapping()))
            continue
        moved[node.output] = source
        outputs = [source if name == node.output else name for name in outputs]
    return live(replace(graph, nodes=tuple(nodes), outputs=tuple(outputs)))
