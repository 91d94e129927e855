"""Proven ranges of every tensor and every accumulator of a quantized graph.

Weights are known, so the range of a sum follows from the range of its inputs: with weights w and
inputs in lo … hi, the largest sum is ``Σ max(w,0)·hi + Σ min(w,0)·lo`` per output channel. Ranges
are exact for one layer and safe (never too small) for chains of layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nibblefit.errors import GraphError
from nibblefit.fixed.apply import apply_steps
from nibblefit.fixed.formats import Accumulator, IntArray, Overflow
from nibblefit.fixed.intervals import (
    Interval,
    bounds_after,
    hull,
    widest_through,
)
from nibblefit.ir.interval_rules import RULES, Bounds, Operand, first_operand
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode


@dataclass(frozen=True, slots=True)
class NodeBounds:
    """Ranges of one node.

    Attributes:
        accumulator: Range of the exact result, before the accumulator's width acts.
        output: Range of the codes after the node's steps.
        widest: Range that encloses every integer on the way: inputs between their steps, the
            accumulator, and the value between the output steps.
    """

    accumulator: Bounds
    output: Bounds
    widest: Bounds


def tensor_bounds(graph: QuantizedGraph) -> dict[str, Bounds]:
    """Return the proven range of every tensor and constant, never wider than its format."""
    return _propagate(graph)[0]


def accumulator_bounds(graph: QuantizedGraph) -> dict[str, Bounds]:
    """Return the proven range of the exact result of every node, before its width and steps."""
    return {name: bounds.accumulator for name, bounds in _propagate(graph)[1].items()}


def node_bounds(graph: QuantizedGraph) -> dict[str, NodeBounds]:
    """Return the proven accumulator and output range of every node."""
    return _propagate(graph)[1]


def _propagate(graph: QuantizedGraph) -> tuple[dict[str, Bounds], dict[str, NodeBounds]]:
    tensors = {name: (int(c.min()), int(c.max())) if c.size else (0, 0)
               for name, c in graph.constants.items()}  # fmt: skip
    for name in graph.inputs:
        fmt = graph.tensors[name].format
        tensors[name] = (fmt.lo, fmt.hi)
    nodes: dict[str, NodeBounds] = {}
    for node in graph.nodes:
        try:
            nodes[node.name] = _of_node(graph, node, tensors)
        except GraphError as error:
            raise GraphError(
                f"node '{node.name}' ({node.op.value}): {error.what}", hint=error.hint
            ) from None
        for name in node.outputs:
            fmt = graph.tensors[name].format
            lo, hi = nodes[node.name].output
            tensors[name] = (min(max(lo, fmt.lo), fmt.hi), max(min(hi, fmt.hi), fmt.lo))
    return tensors, nodes


def _of_node(
    graph: QuantizedGraph, node: QuantizedNode, tensors: Mapping[str, Bounds]
) -> NodeBounds:
    operands = [
        Operand(
            bounds_after(*tensors[name], node.steps_of_input(index)),
            _prepared(graph, node, index, name),
            graph.tensors[name].shape,
        )
        for index, name in enumerate(node.inputs)
    ]
    exact = RULES.get(node.op, first_operand)(node.attributes, operands)
    kept = _in_accumulator(node.accumulator, exact)
    ways = [hull(exact), widest_through(*kept, node.steps)]
    ways += [
        widest_through(*tensors[name], node.steps_of_input(index))
        for index, name in enumerate(node.inputs)
    ]
    widest = min(way[0] for way in ways), max(way[1] for way in ways)
    return NodeBounds(hull(exact), hull(bounds_after(*kept, node.steps)), widest)


def _prepared(graph: QuantizedGraph, node: QuantizedNode, index: int, name: str) -> IntArray | None:
    if name not in graph.constants:
        return None
    prepared: IntArray = apply_steps(graph.constants[name][None], node.steps_of_input(index))[0]
    return prepared


def _in_accumulator(accumulator: Accumulator | None, exact: Interval) -> Interval:
    if accumulator is None or accumulator.overflow is Overflow.FORBID:
        return exact
    lo, hi = hull(exact)
    low, high = -(1 << (accumulator.bits - 1)), (1 << (accumulator.bits - 1)) - 1
    if low <= lo and hi <= high:
        return exact
    if accumulator.overflow is Overflow.WRAP:
        return low, high
    return max(lo, low), min(hi, high)
