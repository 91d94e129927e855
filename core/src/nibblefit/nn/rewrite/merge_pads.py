"""Padding nodes move into the convolution or pool that reads them."""

from __future__ import annotations

from dataclasses import replace
from math import inf

from nibblefit.ir.attributes import spatial, window_of
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.nn.rewrite.live import is_only_reader, live

_NEVER_NEGATIVE = frozenset({Op.RELU, Op.SIGMOID, Op.HARD_SIGMOID, Op.ABS, Op.SOFTMAX})


def merge_pads(graph: Graph) -> Graph:
    """Return the graph with zero padding of spatial axes inside the layers that follow it."""
    producers = graph.producers()
    nodes = []
    for node in graph.nodes:
        pad = producers.get(node.inputs[0]) if node.inputs else None
        merged = None
        if pad is not None and pad.op is Op.PAD and is_only_reader(graph, pad.output):
            merged = _merged(graph, pad, node)
        nodes.append(merged or node)
    return live(replace(graph, nodes=tuple(nodes)))


def _merged(graph: Graph, pad: Node, node: Node) -> Node | None:
    """Return `node` with the padding inside, or None where that would change the result."""
    if node.op not in {Op.CONV, Op.MAX_POOL, Op.AVG_POOL}:
        return None
    amounts = pad.attributes["pads"]
    axes = len(amounts) // 2
    if amounts[0] or amounts[axes]:  # channels
        return None
    added = (*amounts[1:axes], *amounts[axes + 1 :])
    before = spatial(node.attributes, "pads", len(added), 0)
    pads = tuple(a + b for a, b in zip(added, before))
    attributes = {**node.attributes, "pads": pads}
    if node.op is not Op.CONV:
        spans = window_of(node.attributes, tuple(node.attributes["kernel"])).spans()
        reaches = any(p >= s for p, s in zip(pads, spans * 2))
        if reaches or node.attributes.get("ceil_mode", False) or not _pool_agrees(
            graph, pad, node, any(before)
        ):  # fmt: skip
            return None
        if node.op is Op.AVG_POOL:
            attributes["count_include_pad"] = True
    elif pad.attributes.get("value", 0) != 0:
        return None
    return replace(node, inputs=(pad.inputs[0], *node.inputs[1:]),
                   attributes=frozen_mapping(attributes))  # fmt: skip


def _pool_agrees(graph: Graph, pad: Node, node: Node, has_pads: bool) -> bool:
    """Return whether a pool treats its own padding as it treats the padded values."""
    value = pad.attributes.get("value", 0)
    if node.op is Op.AVG_POOL:
        return value == 0 and (not has_pads or bool(node.attributes["count_include_pad"]))
    if value == -inf:
        return True
    source = graph.producers().get(pad.inputs[0])
    if value != 0 or source is None:
        return False
    is_clipped_at_zero = source.op is Op.CLIP and (source.attributes["lo"] or -1) >= 0
    return (
        source.op in _NEVER_NEGATIVE
        or is_clipped_at_zero
        or (source.op is Op.CLIP and source.attributes["lo"] == 0)
    )
