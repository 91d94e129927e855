"""Smaller inputs that prove as much about a network: most operators treat all places alike."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from nibblefit.errors import GraphError
from nibblefit.ir.graph import Graph, Node, Shape
from nibblefit.ir.ops import ACTIVATIONS, Op
from nibblefit.ir.shapes import infer_shapes

#: A size keeps its remainder by this, so that five halvings meet the same odd and even sizes.
_STEP = 32
_LEAST = 64
_POOLS = frozenset({Op.GLOBAL_AVG_POOL, Op.GLOBAL_MAX_POOL, Op.MAX_POOL, Op.AVG_POOL})
#: Operators that say nothing about how many places there are: what they do to a place depends on
#: their attributes alone, and those are the arguments of the call they were recorded from.
_UNIFORM = ACTIVATIONS | _POOLS | {
    Op.CONV, Op.CONV_TRANSPOSE, Op.LINEAR, Op.BATCH_NORM, Op.SCALE_OFFSET, Op.ADD, Op.SUB, Op.MUL,
    Op.CONCAT, Op.FLATTEN, Op.TRANSPOSE, Op.DROPOUT, Op.IDENTITY, Op.PIXEL_SHUFFLE,
}  # fmt: skip
_ALONG_CHANNELS = frozenset({Op.SPLIT, Op.SOFTMAX})


def smaller(graph: Graph) -> tuple[Shape, ...] | None:
    """Return shapes of smaller inputs, None if only the full size can prove the graph.

    The recording saw every call at the full size, with its shapes. What a proof adds is that those
    calls were all there is, and that the operators mean the same. For operators that treat places
    alike neither depends on the size. Reshaping, resizing, slices and windows that overhang do:
    their attributes are made from sizes.
    """
    full = [graph.shapes[name] for name in graph.inputs]
    found = tuple((*shape[:1], *map(_reduced, shape[1:])) for shape in full)
    if 2 * sum(map(prod, found)) > sum(map(prod, full)):
        return None
    if not all(_is_uniform(node) for node in graph.nodes):
        return None
    shapes = _shapes(graph, found)
    if shapes is None or any(_is_idle(graph, node, shapes) for node in graph.nodes):
        return None
    return found


def _reduced(size: int) -> int:
    return min(size, _LEAST + (size - _LEAST) % _STEP) if size > _LEAST else size


def _is_uniform(node: Node) -> bool:
    if node.op in _ALONG_CHANNELS:
        return bool(node.attributes["axis"] == 1)
    return node.op in _UNIFORM and not node.attributes.get("ceil_mode", False)


def _shapes(graph: Graph, inputs: tuple[Shape, ...]) -> Mapping[str, Shape] | None:
    """Return the shapes of all tensors and constants, None where something does not fit."""
    shapes: dict[str, Shape] = {name: value.shape for name, value in graph.constants.items()}
    shapes.update(zip(graph.inputs, inputs, strict=True))
    for node in graph.nodes:
        try:
            made = infer_shapes(node.op, node.attributes, [shapes[name] for name in node.inputs])
        except GraphError:
            return None
        shapes.update(zip(node.outputs, made, strict=True))
    return shapes


def _is_idle(graph: Graph, node: Node, shapes: Mapping[str, Shape]) -> bool:
    """Return whether a pool would change nothing, so that ``x - pool(x)`` hid what is before it."""
    if node.op not in _POOLS:
        return False
    name = node.inputs[0]
    return any(size == 1 < before for size, before in zip(shapes[name][1:], graph.shapes[name][1:]))
