"""Drop what no output depends on."""

from __future__ import annotations

from dataclasses import replace

from nibblefit.ir.graph import Graph, frozen_mapping


def live(graph: Graph) -> Graph:
    """Return the graph without dead nodes, and without constants and shapes nobody reads."""
    needed, kept = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    made = {name for node in kept for name in node.outputs} | set(graph.inputs)
    return replace(
        graph,
        nodes=tuple(reversed(kept)),
        shapes=frozen_mapping({n: s for n, s in graph.shapes.items() if n in made}),
        constants=frozen_mapping({n: v for n, v in graph.constants.items() if n in needed}),
    )


def is_only_reader(graph: Graph, tensor: str) -> bool:
    """Return whether exactly one node reads a tensor, once, and it is no output."""
    reads = sum(node.inputs.count(tensor) for node in graph.nodes)
    return reads == 1 and tensor not in graph.outputs
