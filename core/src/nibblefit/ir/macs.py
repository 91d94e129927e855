"""Multiply-accumulates of operators."""

from __future__ import annotations

import math
from collections.abc import Mapping

from nibblefit.ir.graph import Graph, Node, Shape
from nibblefit.ir.ops import Op


def macs_of(op: Op, x: Shape, weights: Shape, out: Shape) -> int:
    """Return the multiply-accumulates of one operator for one input; 0 for all but products.

    Shapes have no batch axis.
    """
    if op is Op.CONV:
        return math.prod(out) * math.prod(weights[1:])
    if op is Op.CONV_TRANSPOSE:
        return math.prod(x) * math.prod(weights[1:])
    if op is Op.LINEAR:
        return math.prod(out) * weights[-1]
    if op is Op.MATMUL:
        return math.prod(out) * x[-1]
    return math.prod(out) if op in (Op.SCALE_OFFSET, Op.MUL) else 0


def node_macs(node: Node, shapes: Mapping[str, Shape]) -> int:
    """Return the multiply-accumulates of a node; `shapes` holds tensors and constants."""
    weights = shapes[node.inputs[1]] if len(node.inputs) > 1 else ()
    return macs_of(node.op, shapes[node.inputs[0]], weights, shapes[node.output])


def graph_macs(graph: Graph) -> dict[str, int]:
    """Return the multiply-accumulates of every node of a float graph."""
    constants = {name: tuple(values.shape) for name, values in graph.constants.items()}
    shapes: Mapping[str, Shape] = {**constants, **graph.shapes}
    return {node.name: node_macs(node, shapes) for node in graph.nodes}
