"""Fold mean and scale into the first layer, so that a network takes pixels.

``w' = w · scale[channel]`` and ``b' = b − Σ w · scale · mean``. A convolution that pads with zeros
means "mean colour" by its zeros; behind the fold it must pad with the mean itself, which is what
TI's foldPreBnConv2D = 2 does with a pad layer and foldPreBnConv2D = 1 leaves wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import FloatArray
from nibblefit.ir.attributes import window_of
from nibblefit.ir.graph import FloatConstant, Graph, Node, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.shapes import infer_shapes
from nibblefit_tidl.front.preprocessing import Preprocessing


class Border(StrEnum):
    """What to do where a convolution pads and the mean is not zero."""

    REFUSE = "refuse"
    PAD = "pad"  #: pad with the mean, in a layer of its own


@dataclass(frozen=True, slots=True)
class FoldedFront:
    """A network that takes pixels.

    Attributes:
        graph: The network.
        fold_pre_bn: TI's foldPreBnConv2D that does the same: 1, or 2 with a pad layer.
    """

    graph: Graph
    fold_pre_bn: int


def fold_front(graph: Graph, given: Preprocessing, border: Border = Border.REFUSE) -> FoldedFront:
    """Return the network with mean and scale inside its first layer.

    Args:
        graph: A float network with one input, batch norm folded or not.
        given: Mean and scale.
        border: See `Border`.

    Raises:
        UnsupportedError: Mean and scale cannot be folded; says why in one line.
    """
    first = _first_layer(graph, given)
    padded = first.op is Op.CONV and any(_pads(graph, first)) and any(given.mean)
    if padded and border is Border.REFUSE:
        raise UnsupportedError(
            f"mean and scale cannot be folded into '{first.name}': it pads with zeros, which would "
            "no longer be the mean colour",
            hint="pad with the mean (border pad, foldPreBnConv2D 2), use data-convert layers, or a "
            "first convolution without padding",
        )
    weights, bias = _folded(graph, first, given)
    name = f"{first.name}.front_bias"
    constants: dict[str, FloatConstant] = {
        **graph.constants, first.inputs[1]: weights, name: bias,
    }  # fmt: skip
    old = first.inputs[2] if len(first.inputs) > 2 else ""
    layer = replace(first, inputs=(*first.inputs[:2], name))
    nodes = [layer if node.name == first.name else node for node in graph.nodes]
    changed = replace(graph, nodes=tuple(nodes), constants=_used(constants, nodes, old))
    if not padded:
        return FoldedFront(changed, 1)
    return FoldedFront(_with_padding(changed, layer, given), 2)


def _first_layer(graph: Graph, given: Preprocessing) -> Node:
    """Return the layer that reads the input, if it can take mean and scale."""
    if len(graph.inputs) != 1:
        raise _refused(f"the network has {len(graph.inputs)} inputs")
    (name,) = graph.inputs
    channels = graph.shapes[name][0]
    if channels != given.channels:
        raise _refused(f"the input has {channels} channels, mean and scale have {given.channels}")
    readers = graph.consumers()[name]
    if len(readers) != 1:
        raise _refused(f"{len(readers)} layers read the input")
    first = readers[0]
    if first.op not in (Op.CONV, Op.LINEAR) or first.inputs[1] not in graph.constants:
        raise _refused(f"the first layer '{first.name}' ({first.op.value}) is no convolution")
    shared = [n.name for n in graph.consumers()[first.inputs[1]] if n.name != first.name]
    if shared or name in graph.outputs:
        raise _refused(f"'{first.name}' shares its weights with '{(*shared, name)[0]}'")
    return first


def _refused(reason: str) -> UnsupportedError:
    return UnsupportedError(
        f"mean and scale cannot be folded: {reason}",
        hint="use data-convert layers (mode convert), or normalize on the host",
    )


def _folded(graph: Graph, first: Node, given: Preprocessing) -> tuple[FloatArray, FloatArray]:
    """Return weights and bias that take pixels, in float64."""
    weights = np.asarray(graph.constants[first.inputs[1]], np.float64)
    bias = np.zeros(len(weights))
    if len(first.inputs) > 2:
        bias = np.asarray(graph.constants[first.inputs[2]], np.float64)
    mean, scale = (_along_inputs(first, weights, entry) for entry in (given.mean, given.scale))
    scaled = weights * scale
    summed = (scaled * mean).sum(axis=tuple(range(1, weights.ndim)))
    return _frozen(scaled), _frozen(bias - summed)


def _along_inputs(first: Node, weights: FloatArray, entries: tuple[float, ...]) -> FloatArray:
    """Return entries per input channel, shaped like the weights' first two axes."""
    values = np.array(entries, np.float64)
    if first.op is Op.LINEAR:
        return values[None]
    groups = int(first.attributes.get("groups", 1))
    group = np.arange(len(weights)) // (len(weights) // groups)
    rows = values.reshape(groups, -1)[group]
    return np.asarray(rows.reshape(*rows.shape, *(1,) * (weights.ndim - 2)))


def _frozen(values: FloatArray) -> FloatArray:
    frozen = np.array(values, np.float64)
    frozen.flags.writeable = False
    return frozen


def _used(constants: dict[str, FloatConstant], nodes: list[Node],
          old: str) -> dict[str, FloatConstant]:  # fmt: skip
    """Return the constants without the old bias, if nobody else reads it."""
    read = {name for node in nodes for name in node.inputs}
    return {name: value for name, value in constants.items() if name != old or name in read}


def _pads(graph: Graph, first: Node) -> tuple[int, ...]:
    window = window_of(first.attributes, graph.constants[first.inputs[1]].shape[2:])
    return tuple(window.pads)


def _with_padding(graph: Graph, first: Node, given: Preprocessing) -> Graph:
    """Return the graph with the first layer's padding as layers that pad with the mean.

    Channels of one mean are padded together; different means are split, padded and joined.
    """
    amounts = _pads(graph, first)
    half = len(amounts) // 2
    pads = (0, *amounts[:half], 0, *amounts[half:])
    (source,) = graph.inputs
    shapes = dict(graph.shapes)
    made: list[Node] = []

    def add(op: Op, inputs: tuple[str, ...], names: tuple[str, ...], **attributes: object) -> None:
        results = infer_shapes(op, attributes, [shapes[name] for name in inputs])
        shapes.update(zip(names, results, strict=True))
        made.append(Node(names[0], op, inputs, names, frozen_mapping(attributes), first.name))

    name = f"{first.name}.mean_padding"
    if len(set(given.mean)) == 1:
        add(Op.PAD, (source,), (name,), pads=pads, value=given.mean[0])
    else:
        parts = tuple(f"{name}.channel{index}" for index in range(given.channels))
        add(Op.SPLIT, (source,), parts, axis=1, sizes=(1,) * given.channels)
        for part, mean in zip(parts, given.mean, strict=True):
            add(Op.PAD, (part,), (f"{part}.padded",), pads=pads, value=mean)
        add(Op.CONCAT, tuple(f"{part}.padded" for part in parts), (name,), axis=1)
    bare = frozen_mapping({**first.attributes, "pads": (0,) * len(amounts)})
    layer = replace(first, inputs=(name, *first.inputs[1:]), attributes=bare)
    rest = [layer if node.name == first.name else node for node in graph.nodes]
    return replace(graph, nodes=(*made, *rest), shapes=frozen_mapping(shapes))
