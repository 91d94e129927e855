"""Layers with weights: they read channels along one axis and make new ones along another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit.pruning.classes import Ids
from nibblefit.pruning.trace import Channels, Rule, Trace, fixed


def convolution(trace: Trace, node: Node) -> None:
    """Dense: new channels. Depthwise: the same. Grouped: the same positions of every group."""
    if _computed(trace, node):
        return
    x, groups = _read(trace, node, 0), node.attributes.get("groups", 1)
    weights = node.inputs[1]
    out, per_group = trace.graph.constants[weights].shape[:2]
    if groups > 1 and per_group == 1:
        made = trace.bind(weights, 0, np.repeat(x, out // groups))
    else:
        positions = x.reshape(groups, per_group)
        trace.classes.join_rows(positions)
        trace.bind(weights, 1, positions[0])
        made = _made(trace, weights, 0, out)
        trace.classes.join_rows(made.reshape(groups, out // groups))
    _finish(trace, node, 0, made)


def transposed_convolution(trace: Trace, node: Node) -> None:
    """Like `convolution`, but the weights hold the filters of one group along axis 1."""
    if _computed(trace, node):
        return
    x, groups = _read(trace, node, 0), node.attributes.get("groups", 1)
    weights = node.inputs[1]
    into, per_group = trace.graph.constants[weights].shape[:2]
    if groups > 1 and groups == into:
        # Depthwise: input channel c makes outputs c · per_group …; nothing else reads it.
        trace.bind(weights, 0, x)
        trace.own(weights, 0, node)
        _bias(trace, node, np.repeat(x, per_group))
        trace.tensors[node.output] = Channels(0, np.repeat(x, per_group))
        return
    trace.classes.join_rows(x.reshape(groups, into // groups))
    trace.bind(weights, 0, x)
    filters = _made(trace, weights, 1, per_group)
    trace.own(weights, 1, node)
    made = np.tile(filters, groups)
    _bias(trace, node, made)
    trace.tensors[node.output] = Channels(0, made)


def linear(trace: Trace, node: Node) -> None:
    """Features are the last axis."""
    if _computed(trace, node):
        return
    last = len(trace.graph.shapes[node.inputs[0]]) - 1
    weights = node.inputs[1]
    trace.bind(weights, 1, _read(trace, node, last))
    made = _made(trace, weights, 0, trace.graph.constants[weights].shape[0])
    _finish(trace, node, len(trace.graph.shapes[node.output]) - 1, made)


def product(trace: Trace, node: Node) -> None:
    """A matrix product keeps all its channels: which of them meet is not followed."""
    for name in node.inputs:
        if name not in trace.graph.constants:
            trace.stay(name, node, "a matrix product of two tensors keeps all channels")
    trace.tensors[node.output] = fixed(trace.graph.shapes[node.output])


def _computed(trace: Trace, node: Node) -> bool:
    """Return whether a layer's weights are computed; then everything around it stays."""
    if node.inputs[1] in trace.graph.constants:
        return False
    for name in node.inputs:
        if name not in trace.graph.constants:
            trace.stay(name, node, "its weights are computed by the network")
    trace.tensors[node.output] = fixed(trace.graph.shapes[node.output])
    return True


def _read(trace: Trace, node: Node, axis: int) -> Ids:
    """Return the ids that a layer reads along an axis; channels elsewhere have to stay."""
    name = node.inputs[0]
    found = trace.channels(name)
    if found.axis == axis:
        return found.ids
    trace.stay(name, node, f"the layer reads axis {axis + 1}, channels lie on {found.axis + 1}")
    return np.zeros(trace.graph.shapes[name][axis], dtype=np.int64)


def _made(trace: Trace, weights: str, axis: int, count: int) -> Ids:
    """Return the ids of the filters of weights, the same ones at every use."""
    known = trace.slots.get((weights, axis))
    return trace.bind(weights, axis, trace.classes.fresh(count)) if known is None else known


def _finish(trace: Trace, node: Node, axis: int, made: Ids) -> None:
    trace.own(node.inputs[1], 0, node)
    _bias(trace, node, made)
    trace.tensors[node.output] = Channels(axis, made)


def _bias(trace: Trace, node: Node, made: Ids) -> None:
    if len(node.inputs) > 2 and node.inputs[2] in trace.graph.constants:
        trace.bind(node.inputs[2], 0, made)


RULES: Mapping[Op, Rule] = {
    Op.CONV: convolution,
    Op.CONV_TRANSPOSE: transposed_convolution,
    Op.LINEAR: linear,
    Op.MATMUL: product,
}
