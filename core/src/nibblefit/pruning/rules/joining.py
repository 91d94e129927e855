"""Operators that join tensors or take them apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit.pruning.trace import Channels, Rule, Trace, fixed


def concatenation(trace: Trace, node: Node) -> None:
    """Along the channels: one after another. Along another axis: the same channels meet."""
    shape = trace.graph.shapes[node.output]
    entry = entry_of(node.attributes["axis"], len(shape))
    found = [_channels(trace, name) for name in node.inputs]
    if all(channels.axis == entry for channels in found):
        ids = np.concatenate([channels.ids for channels in found])
        trace.tensors[node.output] = Channels(entry, ids)
        return
    axes = {channels.axis for channels in found}
    if len(axes) == 1:
        (axis,) = axes
        trace.classes.join_rows(np.stack([channels.ids for channels in found]))
        trace.tensors[node.output] = Channels(axis, found[0].ids)
        return
    for name in node.inputs:
        if name not in trace.graph.constants:
            trace.stay(name, node, "tensors with channels on different axes are joined")
    trace.tensors[node.output] = fixed(shape)


def split(trace: Trace, node: Node) -> None:
    """Along the channels: every output has its part. Along another axis: the same ones."""
    found = trace.channels(node.inputs[0])
    entry = entry_of(node.attributes["axis"], len(trace.graph.shapes[node.inputs[0]]))
    parts = [found.ids] * len(node.outputs)
    if entry == found.axis:
        parts = np.split(found.ids, np.cumsum(node.attributes["sizes"])[:-1])
    for name, ids in zip(node.outputs, parts, strict=True):
        trace.tensors[name] = Channels(found.axis, ids)


def piece(trace: Trace, node: Node) -> None:
    """A slice of the channels has those; in steps, all have to stay."""
    found = trace.channels(node.inputs[0])
    attributes, rank = node.attributes, len(trace.graph.shapes[node.inputs[0]])
    strides = attributes.get("strides") or (1,) * len(attributes["axes"])
    ids = found.ids
    for axis, start, end, stride in zip(
        attributes["axes"], attributes["starts"], attributes["ends"], strides, strict=True
    ):
        if entry_of(axis, rank) != found.axis:
            continue
        if stride != 1:
            trace.stay(node.inputs[0], node, "channels are sliced in steps")
        ids = ids[start:end:stride]
    trace.tensors[node.output] = Channels(found.axis, ids)


def padding(trace: Trace, node: Node) -> None:
    """Added channels stay: no filter makes them."""
    found = trace.channels(node.inputs[0])
    pads, rank = node.attributes["pads"], len(trace.graph.shapes[node.inputs[0]])
    before, after = pads[found.axis], pads[rank + found.axis]
    ids = np.pad(found.ids, (max(0, before), max(0, after)))
    trace.tensors[node.output] = Channels(found.axis, ids)


def entry_of(axis: int, rank: int) -> int:
    """Return the entry of a batch-free shape of `rank` axes that an attribute means."""
    return axis + rank if axis < 0 else axis - 1


def _channels(trace: Trace, name: str) -> Channels:
    if name in trace.graph.constants:
        return fixed(trace.graph.constants[name].shape)
    return trace.channels(name)


RULES: Mapping[Op, Rule] = {
    Op.CONCAT: concatenation,
    Op.SPLIT: split,
    Op.SLICE: piece,
    Op.PAD: padding,
}
