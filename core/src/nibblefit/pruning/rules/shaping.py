"""Operators that arrange the same values in another shape."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nibblefit.ir.graph import Node, Shape
from nibblefit.ir.ops import Op
from nibblefit.pruning.classes import Classes, Ids
from nibblefit.pruning.trace import Channels, Rule, Trace


def reshaping(trace: Trace, node: Node) -> None:
    """Follow every value; where channels spread over several axes, one of them may lose some."""
    found = trace.channels(node.inputs[0])
    before, after = trace.graph.shapes[node.inputs[0]], trace.graph.shapes[node.output]
    full = np.broadcast_to(_along(found, len(before)), before).reshape(after)
    trace.tensors[node.output] = one_axis(trace.classes, full)


def transposition(trace: Trace, node: Node) -> None:
    """The channels' axis moves."""
    found = trace.channels(node.inputs[0])
    axis = node.attributes["perm"].index(found.axis + 1) - 1
    trace.tensors[node.output] = Channels(axis, found.ids)


def shuffle(trace: Trace, node: Node) -> None:
    """All channels that become one output channel stay together."""
    found = trace.channels(node.inputs[0])
    square = node.attributes["factor"] ** 2
    if found.axis != 0:
        trace.stay(node.inputs[0], node, "pixel shuffle takes channels on axis 1")
        trace.tensors[node.output] = Channels(
            0, np.zeros(trace.graph.shapes[node.output][0], dtype=np.int64)
        )
        return
    blocks = found.ids.reshape(-1, square).T
    if node.attributes.get("order", "crd") == "dcr":
        blocks = found.ids.reshape(square, -1)
    trace.classes.join_rows(blocks)
    trace.tensors[node.output] = Channels(0, blocks[0])


def one_axis(classes: Classes, ids: Ids) -> Channels:
    """Return channels along the one axis that can lose some, joining ids along all others."""
    roots = classes.of(ids)
    axes = [a for a in range(roots.ndim) if np.any(roots.take([0], a) != roots)]
    axis = max(axes, key=lambda a: (roots.shape[a], a), default=0)
    rows = np.moveaxis(roots, axis, -1).reshape(-1, roots.shape[axis])
    if len(axes) > 1:
        classes.join_rows(np.unique(rows, axis=0))
    return Channels(axis, rows[0].copy())


def _along(channels: Channels, rank: int) -> Ids:
    shape: Shape = tuple(-1 if axis == channels.axis else 1 for axis in range(rank))
    return channels.ids.reshape(shape)


RULES: Mapping[Op, Rule] = {
    Op.FLATTEN: reshaping,
    Op.RESHAPE: reshaping,
    Op.TRANSPOSE: transposition,
    Op.PIXEL_SHUFFLE: shuffle,
}
