"""From core's float graph to the layers that rules see."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op
from nibblefit_vitis.inspection.layer import Layer, Network, Sort
from nibblefit_vitis.inspection.recognizing import with_hard_sigmoids

_SORTS: Mapping[Op, Sort] = MappingProxyType({
    Op.CONV: Sort.CONVOLUTION, Op.CONV_TRANSPOSE: Sort.TRANSPOSED, Op.LINEAR: Sort.DENSE,
    Op.MATMUL: Sort.MATMUL, Op.MAX_POOL: Sort.MAX_POOL, Op.AVG_POOL: Sort.AVERAGE_POOL,
    Op.GLOBAL_AVG_POOL: Sort.AVERAGE_POOL, Op.GLOBAL_MAX_POOL: Sort.MAX_POOL, Op.ADD: Sort.ADD,
    Op.SUB: Sort.SUB, Op.MUL: Sort.MUL, Op.OR: Sort.ELEMENTWISE, Op.XOR: Sort.ELEMENTWISE,
    Op.ABS: Sort.ELEMENTWISE, Op.CONCAT: Sort.CONCAT, Op.SLICE: Sort.SLICE, Op.SPLIT: Sort.SLICE,
    Op.RELU: Sort.RELU, Op.CLIP: Sort.CLIP, Op.LEAKY_RELU: Sort.LEAKY_RELU, Op.PRELU: Sort.PRELU,
    Op.HARD_SIGMOID: Sort.HARD_SIGMOID, Op.HARD_SWISH: Sort.HARD_SWISH, Op.SIGMOID: Sort.SIGMOID,
    Op.TANH: Sort.SMOOTH, Op.SOFTMAX: Sort.SOFTMAX, Op.ARGMAX: Sort.ARGMAX,
    Op.BATCH_NORM: Sort.NORM, Op.SCALE_OFFSET: Sort.NORM, Op.PAD: Sort.PAD,
    Op.RESIZE_NEAREST: Sort.NEAREST, Op.RESIZE_BILINEAR: Sort.BILINEAR,
    Op.PIXEL_SHUFFLE: Sort.SHUFFLE, Op.FLATTEN: Sort.RESHAPE, Op.RESHAPE: Sort.RESHAPE,
    Op.TRANSPOSE: Sort.PERMUTE, Op.IDENTITY: Sort.NOTHING, Op.DROPOUT: Sort.NOTHING,
})  # fmt: skip


def network_of(graph: Graph) -> Network:
    """Return a float graph as layers."""
    layers = tuple(_layer(graph, node) for node in graph.nodes)
    inputs = MappingProxyType({name: graph.shapes[name] for name in graph.inputs})
    return with_hard_sigmoids(Network(graph.name, inputs, graph.outputs, layers))


def _layer(graph: Graph, node: Node) -> Layer:
    sort, facts = _SORTS.get(node.op, Sort.UNKNOWN), {}
    find = _FACTS.get(node.op)
    if find is not None:
        facts = find(graph, node)
    if node.op is Op.CLIP and node.attributes.get("lo") == 0.0:
        sort = {6.0: Sort.RELU6, None: Sort.RELU}.get(node.attributes.get("hi"), Sort.CLIP)
    inputs = tuple(name for name in node.inputs if name in graph.shapes)
    shapes = tuple(graph.shapes[name] for name in inputs)
    return Layer(node.name, sort, node.op.value, inputs, node.outputs, shapes,
                 graph.shapes[node.output], MappingProxyType(facts))  # fmt: skip


def _weighted(graph: Graph, node: Node) -> dict[str, Any]:
    """Return the facts of convolutions; weights may be computed, then their kernel is not known."""
    found = dict(node.attributes)
    weights = graph.constants.get(node.inputs[1])
    if weights is not None:
        found["kernel"] = tuple(weights.shape[2:])
    found["channels_in"] = graph.shapes[node.inputs[0]][0]
    found["channels_out"] = graph.shapes[node.output][0]
    return found


def _dense(graph: Graph, node: Node) -> dict[str, Any]:
    """Return the facts of a dense layer: a convolution over one point."""
    return {
        "channels_in": graph.shapes[node.inputs[0]][-1],
        "channels_out": graph.shapes[node.output][-1],
        "computed": node.inputs[1] not in graph.constants,
    }


def _attributes(graph: Graph, node: Node) -> dict[str, Any]:  # noqa: ARG001 - one signature
    return dict(node.attributes)


def _whole(graph: Graph, node: Node) -> dict[str, Any]:
    """Return the facts of a pool over the whole image."""
    size = graph.shapes[node.inputs[0]][1:]
    ones, none = (1,) * len(size), (0,) * 2 * len(size)
    return {"kernel": size, "strides": ones, "pads": none}


def _operands(graph: Graph, node: Node) -> dict[str, Any]:
    """Return the facts of a constant operand."""
    constants = [graph.constants[name] for name in node.inputs if name in graph.constants]
    if not constants:
        return {}
    value = {"value": float(constants[0].flat[0])} if constants[0].size == 1 else {}
    return {"constant": tuple(constants[0].shape), **value}


def _resized(graph: Graph, node: Node) -> dict[str, Any]:
    before, after = graph.shapes[node.inputs[0]], graph.shapes[node.output]
    factors = tuple(new / old for old, new in zip(before[1:], after[1:]))
    return {"factors": factors, "coordinates": node.attributes["coordinates"]}


def _padded(graph: Graph, node: Node) -> dict[str, Any]:
    return {
        "mode": "constant",
        "channels_in": graph.shapes[node.inputs[0]][0],
        "pads": _spatial(node),
    }


def _spatial(node: Node) -> tuple[int, ...]:
    """Return the pads of spatial axes: those behind the channels."""
    pads = tuple(node.attributes["pads"])
    half = len(pads) // 2
    return (*pads[1:half], *pads[half + 1 :])


def _moved(graph: Graph, node: Node) -> dict[str, Any]:
    """Return whether flattening changes the order that values have in the DPU's memory."""
    before = graph.shapes[node.inputs[0]]
    image = len(before) > 1 and before[0] > 1 and math.prod(before[1:]) > 1
    return {"reorders": image}


_FACTS: Mapping[Op, Callable[[Graph, Node], dict[str, Any]]] = MappingProxyType({
    Op.CONV: _weighted, Op.CONV_TRANSPOSE: _weighted, Op.LINEAR: _dense,
    Op.MAX_POOL: _attributes, Op.AVG_POOL: _attributes, Op.GLOBAL_AVG_POOL: _whole,
    Op.GLOBAL_MAX_POOL: _whole, Op.ADD: _operands, Op.SUB: _operands, Op.MUL: _operands,
    Op.CONCAT: _attributes, Op.LEAKY_RELU: _attributes, Op.HARD_SIGMOID: _attributes,
    Op.RESIZE_NEAREST: _resized, Op.RESIZE_BILINEAR: _resized, Op.PAD: _padded,
    Op.FLATTEN: _moved, Op.RESHAPE: _moved,
})  # fmt: skip
