"""Cuts of a graph: what is alive between two nodes, and the rest of the network from there."""

from __future__ import annotations

from dataclasses import replace

from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit_vitis.grouping import groups


def by_group(graph: Graph) -> Graph:
    """Return the graph with the members of every group next to each other.

    Only the first of them reads other groups, so this is an order of execution too. A cut in front
    of a group then never cuts another one in two.
    """
    return replace(graph, nodes=tuple(node for group in groups(graph) for node in group.members))


def alive(graph: Graph, position: int) -> tuple[str, ...]:
    """Return the tensors made before node `position` that it, later nodes or the user read."""
    made = {*graph.inputs, *(name for node in graph.nodes[:position] for name in node.outputs)}
    read = {*graph.outputs, *(name for node in graph.nodes[position:] for name in node.inputs)}
    return tuple(name for name in graph.shapes if name in made and name in read)


def part(graph: Graph, first: int, last: int) -> Graph:
    """Return nodes `first` to `last` (not included) as a network.

    Its inputs are the tensors alive before, its outputs those alive behind (the graph's own
    outputs at the end).
    """
    inputs = alive(graph, first)
    outputs = graph.outputs if last == len(graph.nodes) else alive(graph, last)
    nodes = graph.nodes[first:last]
    made = {*inputs, *(name for node in nodes for name in node.outputs)}
    return replace(
        graph, inputs=inputs, outputs=outputs, nodes=nodes,
        shapes=frozen_mapping({n: s for n, s in graph.shapes.items() if n in made}),
        constants=frozen_mapping({
            n: graph.constants[n] for node in nodes for n in node.inputs if n in graph.constants
        }),
    )  # fmt: skip
