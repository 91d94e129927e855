"""The shape in which a float graph is quantized: no batch norm, no dropout, no idle nodes."""

from __future__ import annotations

from nibblefit.ir.graph import Graph
from nibblefit.nn.rewrite import fold_batch_norm, remove_dropout, remove_identity


def fold(graph: Graph) -> Graph:
    """Return the same function without BATCH_NORM, DROPOUT and IDENTITY.

    Batch norm goes into the layer beside it where it can, else it becomes a SCALE_OFFSET.
    """
    return fold_batch_norm(remove_identity(remove_dropout(graph)))
