"""What a layer asks of a core: the few quantities from which its time is estimated."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit_tidl.classic.merging import MergedLayer

_MILLION = 1e6
#: Layers that only rename a tensor: nothing is written.
_VIEWS = frozenset({Op.FLATTEN, Op.RESHAPE, Op.DROPOUT, Op.IDENTITY})


@dataclass(frozen=True, slots=True)
class Work:
    """Work of one or more layers for one frame.

    Attributes:
        window_macs: Millions of multiply-accumulates with kernels larger than 1 × 1, those of zero
            weights left out where the kernel skips them.
        point_macs: The same of 1 × 1 convolutions.
        weights: Millions of weights fetched: those of convolutions that are not skipped, and those
            of fully connected layers.
        elements: Millions of values written.
        scores: Thousands of softmax inputs.
        joins: Concatenations.
    """

    window_macs: float = 0.0
    point_macs: float = 0.0
    weights: float = 0.0
    elements: float = 0.0
    scores: float = 0.0
    joins: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def macs(self) -> float:
        """Millions of multiply-accumulates, of any kernel."""
        return self.window_macs + self.point_macs


def total(items: Iterable[Work]) -> Work:
    """Return the sum of several works."""
    return sum(items, Work())


def layer_work(graph: Graph, layer: MergedLayer, kept: float = 1.0) -> Work:
    """Return the work of one layer of the importer.

    Args:
        graph: The folded graph.
        layer: The layer.
        kept: Share of the weights that the kernel does not skip, 0 to 1; convolutions only.
    """
    head = layer.nodes[0]
    written = 0 if head.op in _VIEWS else math.prod(graph.shapes[layer.output])
    moved = Work(elements=written / _MILLION, joins=float(head.op is Op.CONCAT))
    if head.op is Op.SOFTMAX:
        return moved + Work(scores=math.prod(graph.shapes[head.inputs[0]]) / 1e3)
    if head.op not in WEIGHTED or head.inputs[1] not in graph.constants:
        return moved
    return moved + _weighted(graph, head, kept)


def _weighted(graph: Graph, node: Node, kept: float) -> Work:
    """Return multiply-accumulates and weights of a layer that has weights."""
    weights = graph.constants[node.inputs[1]]
    if node.op is Op.LINEAR:
        rows = math.prod(graph.shapes[node.output]) // weights.shape[0]
        return Work(
            weights=weights.size / _MILLION, window_macs=(rows - 1) * weights.size / _MILLION
        )
    pixels = graph.shapes[node.output if node.op is Op.CONV else node.inputs[0]][1:]
    fetched = kept * weights.size / _MILLION
    macs = math.prod(pixels) * fetched
    if math.prod(weights.shape[2:]) == 1:
        return Work(point_macs=macs, weights=fetched)
    return Work(window_macs=macs, weights=fetched)
