"""Dropout does nothing outside training."""

from __future__ import annotations

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.nn.rewrite.bypass import bypass


def remove_dropout(graph: Graph) -> Graph:
    """Return the graph without dropout."""
    return bypass(graph, lambda node: node.op is Op.DROPOUT)
