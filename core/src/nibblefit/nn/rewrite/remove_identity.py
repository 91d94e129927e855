"""Nodes that change nothing: identities, and movers that move nothing."""

from __future__ import annotations

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op
from nibblefit.nn.rewrite.bypass import bypass


def remove_identity(graph: Graph) -> Graph:
    """Return the graph without nodes that return their input unchanged."""

    def changes_nothing(node: Node) -> bool:
        match node.op:
            case Op.IDENTITY:
                return True
            case Op.RESHAPE | Op.FLATTEN:
                return graph.shapes[node.inputs[0]] == graph.shapes[node.output]
            case Op.TRANSPOSE:
                return tuple(node.attributes["perm"]) == tuple(range(len(node.attributes["perm"])))
            case Op.PAD:
                return not any(node.attributes["pads"])
            case Op.CLIP:
                return node.attributes["lo"] is None and node.attributes["hi"] is None
            case _:
                return False

    return bypass(graph, changes_nothing)
