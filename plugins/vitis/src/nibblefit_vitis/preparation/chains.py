"""Which neighbouring convolutions can share their channels' scales."""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op

#: Layers whose channels are rescaled; dense layers end a chain in the original.
EQUALIZED = frozenset({Op.CONV, Op.CONV_TRANSPOSE})
_POOLS = frozenset({Op.MAX_POOL, Op.AVG_POOL, Op.GLOBAL_AVG_POOL, Op.GLOBAL_MAX_POOL})


@dataclass(frozen=True, slots=True)
class Pair:
    """Two convolutions with nothing between them that mixes channels or reads them elsewhere.

    Attributes:
        first: Its output channels are divided by the scales.
        second: Its input channels are multiplied by them.
        clips: Nodes between them that cut at a fixed value, which is not the same after scaling.
    """

    first: Node
    second: Node
    clips: tuple[Node, ...]


def pairs(graph: Graph) -> tuple[Pair, ...]:
    """Return all pairs; those of one chain follow each other in the order of execution.

    A chain goes on through ReLU, bounded ReLU and pools, as long as every tensor has one reader
    and is no output of the network. Source: pytorch_nndct 3.5, cross-layer equalization.
    """
    consumers, found = graph.consumers(), []
    for node in graph.nodes:
        if not _is_equalizable(graph, node):
            continue
        clips: list[Node] = []
        following = _only_reader(graph, consumers, node)
        while following is not None and _passes(following):
            if following.op is Op.CLIP and following.attributes["hi"] is not None:
                clips.append(following)
            following = _only_reader(graph, consumers, following)
        if following is not None and _is_equalizable(graph, following):
            found.append(Pair(node, following, tuple(clips)))
    return tuple(found)


def _is_equalizable(graph: Graph, node: Node) -> bool:
    return node.op in EQUALIZED and all(name in graph.constants for name in node.inputs[1:])


def _passes(node: Node) -> bool:
    """Return whether a node is a rectifier or a pool: positive scales of channels pass it."""
    if node.op is Op.CLIP:
        return bool(node.attributes["lo"] == 0)
    return node.op is Op.RELU or node.op in _POOLS


def _only_reader(graph: Graph, consumers: dict[str, list[Node]], node: Node) -> Node | None:
    readers = consumers[node.output]
    if len(readers) != 1 or node.output in graph.outputs or len(node.outputs) != 1:
        return None
    reader = readers[0]
    return reader if reader.inputs.count(node.output) == 1 == reader.inputs.index(
        node.output) + 1 else None  # fmt: skip
