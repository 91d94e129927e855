"""What host software may compute behind the accelerator: softmax, argmax, sigmoid, tanh."""

from __future__ import annotations

from nibblefit.ir.graph import Node, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit_maxim.fusing.assembly import Assembly
from nibblefit_maxim.fusing.geometry import UnfitError
from nibblefit_maxim.fusing.network import HostNode
from nibblefit_maxim.fusing.value import Value

#: Operators the host computes.
HOST_OPS = frozenset({Op.SOFTMAX, Op.ARGMAX, Op.SIGMOID, Op.TANH})
#: Operators that may follow one of them on the host.
_MOVING = frozenset({Op.FLATTEN, Op.RESHAPE, Op.TRANSPOSE})


def is_hosted(site: Assembly, node: Node) -> bool:
    """Return whether a node runs on the host: a host operator, or one that moves its result."""
    behind = bool(node.inputs) and any(
        site.values[name].host for name in node.inputs if name in site.values
    )
    return node.op in HOST_OPS or (behind and node.op in _MOVING)


def host(site: Assembly, node: Node) -> Value:
    """Return a tensor on the host.

    Raises:
        UnfitError: It works on a constant.
    """
    name, shape = node.inputs[0], tuple(site.graph.shapes[node.output])
    if name not in site.values:
        raise UnfitError("it works on a constant", "compute it before the network")
    attributes = frozen_mapping(
        {"shape": shape} if node.op in (Op.FLATTEN, Op.RESHAPE) else node.attributes
    )
    op = Op.RESHAPE if node.op is Op.FLATTEN else node.op
    site.host.append(HostNode(node.output, op, name, attributes, shape))
    return Value((), shape, shape, host=node.output)
