"""Operators that treat every channel by itself, or with the same channel of other tensors."""

from __future__ import annotations

from collections.abc import Mapping

from nibblefit.ir.graph import Node
from nibblefit.ir.ops import ACTIVATIONS, ELEMENTWISE, Op
from nibblefit.pruning.trace import Channels, Rule, Trace, fixed


def same(trace: Trace, node: Node) -> None:
    """Every channel stays itself."""
    trace.tensors[node.output] = trace.channels(node.inputs[0])


def on_channels(trace: Trace, node: Node) -> None:
    """Every channel stays itself, as long as channels are axis 1."""
    found = trace.channels(node.inputs[0])
    if found.axis != 0:
        trace.stay(node.inputs[0], node, f"{node.op.value} takes channels on axis 1")
        found = fixed(trace.graph.shapes[node.output])
    trace.tensors[node.output] = found


def per_channel(trace: Trace, node: Node) -> None:
    """Each constant has one entry a channel, or one for all."""
    on_channels(trace, node)
    ids = trace.tensors[node.output].ids
    for name in node.inputs[1:]:
        if name in trace.graph.constants and trace.graph.constants[name].shape[0] == len(ids) > 1:
            trace.bind(name, 0, ids)


def along_axis(trace: Trace, node: Node) -> None:
    """Softmax and argmax compare channels if they run along them: then all have to stay."""
    found = trace.channels(node.inputs[0])
    shape = trace.graph.shapes[node.inputs[0]]
    axis = node.attributes["axis"]
    if (axis + len(shape) if axis < 0 else axis - 1) == found.axis or node.op is Op.ARGMAX:
        trace.stay(node.inputs[0], node, f"{node.op.value} compares all channels")
        found = fixed(trace.graph.shapes[node.output])
    trace.tensors[node.output] = found


def combination(trace: Trace, node: Node) -> None:
    """Channels that meet stay together; a single channel spread over many stays."""
    shape = trace.graph.shapes[node.output]
    tensors = [name for name in node.inputs if name not in trace.graph.constants]
    found = [_aligned(trace, name, len(shape)) for name in tensors]
    axis = next((c.axis for c in found if len(c.ids) > 1), found[0].axis)
    ids = None
    for name, channels in zip(tensors, found, strict=True):
        if channels.axis != axis or len(channels.ids) != shape[axis]:
            trace.stay(name, node, "its channels are spread over another tensor's")
        elif ids is None:
            ids = channels.ids
        else:
            trace.classes.join(ids, channels.ids)
    if ids is None:
        trace.tensors[node.output] = fixed(shape)
        return
    for name, channels in zip(tensors, found, strict=True):
        own = trace.graph.shapes[name]
        place = axis - (len(shape) - len(own))
        if channels.axis != axis and place >= 0 and own[place] > 1:
            # Two tensors with channels on different axes: neither can lose any.
            trace.classes.keep(ids)
    for name in node.inputs:
        if name in trace.graph.constants:
            _bind_constant(trace, name, Channels(axis, ids), len(shape))
    trace.tensors[node.output] = Channels(axis, ids)


def _aligned(trace: Trace, name: str, rank: int) -> Channels:
    """Return a tensor's channels with the axis counted in the result."""
    found = trace.channels(name)
    return Channels(found.axis + rank - len(trace.graph.shapes[name]), found.ids)


def _bind_constant(trace: Trace, name: str, channels: Channels, rank: int) -> None:
    shape = trace.graph.constants[name].shape
    axis = channels.axis - (rank - len(shape))
    if axis >= 0 and shape[axis] == len(channels.ids) > 1:
        trace.bind(name, axis, channels.ids)


RULES: Mapping[Op, Rule] = {
    **dict.fromkeys(ACTIVATIONS, same),
    **dict.fromkeys(ELEMENTWISE, combination),
    **dict.fromkeys((Op.IDENTITY, Op.DROPOUT), same),
    **dict.fromkeys(
        (Op.MAX_POOL, Op.AVG_POOL, Op.GLOBAL_AVG_POOL, Op.GLOBAL_MAX_POOL, Op.RESIZE_NEAREST,
         Op.RESIZE_BILINEAR),
        on_channels,
    ),
    **dict.fromkeys((Op.BATCH_NORM, Op.SCALE_OFFSET, Op.PRELU), per_channel),
    **dict.fromkeys((Op.SOFTMAX, Op.ARGMAX), along_axis),
}  # fmt: skip
