"""Which tensors can never be negative, from the operators alone."""

from __future__ import annotations

from collections.abc import Collection

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import MOVERS, Op

_ALWAYS = frozenset({Op.RELU, Op.ABS, Op.SIGMOID, Op.HARD_SIGMOID, Op.SOFTMAX, Op.ARGMAX})
_IF_INPUTS_ARE = MOVERS | {
    Op.ADD, Op.MUL, Op.CONCAT, Op.AVG_POOL, Op.GLOBAL_AVG_POOL, Op.RESIZE_BILINEAR, Op.IDENTITY,
    Op.LEAKY_RELU, Op.PRELU,
}  # fmt: skip


def nonnegative_tensors(graph: Graph, inputs: Collection[str]) -> set[str]:
    """Return every tensor that cannot be negative, given the inputs that are not."""
    found = set(inputs)
    found.update(name for name, values in graph.constants.items() if not (values < 0).any())
    for node in graph.nodes:
        if _is_nonnegative(node, found):
            found.update(node.outputs)
    return found


def _is_nonnegative(node: Node, known: set[str]) -> bool:
    if node.op in _ALWAYS:
        return True
    inputs = all(name in known for name in node.inputs)
    if node.op is Op.CLIP:
        lo = node.attributes.get("lo")
        return inputs or (lo is not None and lo >= 0)
    if node.op is Op.PAD:
        return inputs and float(node.attributes.get("value", 0)) >= 0
    return node.op in _IF_INPUTS_ARE and inputs
