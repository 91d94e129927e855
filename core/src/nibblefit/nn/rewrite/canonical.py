"""The form that imported files are brought into, so that one network has one graph."""

from __future__ import annotations

from nibblefit.ir.graph import Graph
from nibblefit.nn.rewrite.join_hard_swish import join_hard_swish
from nibblefit.nn.rewrite.merge_bias import merge_bias
from nibblefit.nn.rewrite.merge_pads import merge_pads
from nibblefit.nn.rewrite.remove_identity import remove_identity


def canonical(graph: Graph) -> Graph:
    """Return the graph without idle nodes, with bias, padding and gates inside their layers."""
    return join_hard_swish(merge_pads(merge_bias(remove_identity(graph))))
