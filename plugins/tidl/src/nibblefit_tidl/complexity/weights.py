"""Weights that must be constants to be counted, placed or chosen a kernel for."""

from __future__ import annotations

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import FloatConstant, Graph, Node


def weights_of(graph: Graph, node: Node) -> FloatConstant:
    """Return the weights of a convolution or linear layer.

    Raises:
        UnsupportedError: Another layer computes them.
    """
    found = graph.constants.get(node.inputs[1])
    if found is None:
        raise UnsupportedError(
            f"layer '{node.name}' ({node.op.value}) takes its weights from another layer, and TIDL "
            "has constant weights alone",
            hint="use constant weights, or a product of two tensors (matmul)",
        )
    return found
