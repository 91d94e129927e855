"""Batch norm and padding while fusing: they join a convolution first, and are named again later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit_maxim.layers import HardwareLayer

#: Operators that folding removes.
_FOLDED = frozenset({Op.BATCH_NORM, Op.SCALE_OFFSET, Op.DROPOUT, Op.IDENTITY, Op.PAD})


def folded_graph(graph: Graph) -> Graph:
    """Return the graph with batch norm and zero padding inside convolutions, without dropout.

    A graph that has none of them is returned as it is.
    """
    if not any(node.op in _FOLDED for node in graph.nodes):
        return graph
    from nibblefit.nn.rewrite import merge_pads
    from nibblefit.quantization.fold import fold

    return merge_pads(fold(graph))


def with_norms(
    layers: Mapping[str, HardwareLayer], graph: Graph, folded: Graph
) -> dict[str, HardwareLayer]:
    """Return layers whose `sources` also name the batch norms and pads that went into them."""
    if graph is folded:
        return dict(layers)
    producers = graph.producers()
    before = {node.name: node for node in graph.nodes}
    after = {node.name: node for node in folded.nodes if node.op in WEIGHTED}
    named = {}
    for name, layer in layers.items():
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            named[name] = layer
            continue
        ahead = _between(producers, new.inputs[0], old.inputs[0])
        behind = _between(producers, old.output, new.output)
        place = layer.sources.index(name)
        sources = (*layer.sources[:place], *_names(ahead), name, *_names(behind),
                   *layer.sources[place + 1 :])  # fmt: skip
        normed = any(node.op is Op.BATCH_NORM for node in (*ahead, *behind))
        named[name] = replace(layer, sources=sources, is_normed=normed)
    return named


def _names(nodes: list[Node]) -> tuple[str, ...]:
    return tuple(node.name for node in nodes)


def _between(producers: Mapping[str, Node], begin: str, end: str) -> list[Node]:
    """Return the foldable nodes from one tensor to another, in order; none if they do not meet."""
    found: list[Node] = []
    while end != begin:
        node = producers.get(end)
        if node is None or node.op not in _FOLDED:
            return []
        found.insert(0, node)
        end = node.inputs[0]
    return found
