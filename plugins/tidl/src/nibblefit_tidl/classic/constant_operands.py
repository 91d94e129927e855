"""Sums and products with a constant, said as the importer knows them: Bias and Scale layers.

Classic TIDL has no element-wise layer with a constant operand. Caffe writes one as Bias, Scale or
Power, and all three become a factor and an offset per channel.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import numpy.typing as npt

from nibblefit.ir.graph import FloatConstant, Graph, Node, Shape, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.nn.names import FIXED, Names
from nibblefit.nn.rewrite import live

_SUMS = (Op.ADD, Op.SUB)


def as_scale_layers(graph: Graph) -> Graph:
    """Return the graph with ``x + c``, ``x - c`` and ``x * c`` as SCALE_OFFSET.

    That holds for one number in all or one per channel; other constants stay where they are. A
    constant that nobody else reads keeps its name, so what is trained stays trained.
    """
    constants: dict[str, FloatConstant] = dict(graph.constants)
    names = Names()
    for taken in (*graph.inputs, *graph.shapes, *constants, *(node.name for node in graph.nodes)):
        names.claim(taken)
    nodes = tuple(_said(graph, node, constants, names) for node in graph.nodes)
    return live(replace(graph, nodes=nodes, constants=frozen_mapping(constants)))


def _said(graph: Graph, node: Node, constants: dict[str, FloatConstant], names: Names) -> Node:
    if node.op not in (*_SUMS, Op.MUL) or len(node.inputs) != 2:
        return node
    tensors = [name for name in node.inputs if name not in graph.constants]
    if len(tensors) != 1 or (node.op is Op.SUB and node.inputs[0] not in tensors):
        return node
    shape = graph.shapes[node.output]
    operand = next(name for name in node.inputs if name in graph.constants)
    if shape != graph.shapes[tensors[0]]:
        return node
    values = _per_channel(graph.constants[operand], shape)
    if values is None:
        return node
    name = _name(graph, node, operand, names)
    constants[name] = _kept(-values if node.op is Op.SUB else values, values.dtype)
    filler = names.claim(f"{node.name}.{'scale' if node.op in _SUMS else 'offset'}{FIXED}")
    constants[filler] = _kept(np.full(shape[0], float(node.op in _SUMS)), values.dtype)
    pair = (filler, name) if node.op in _SUMS else (name, filler)
    return replace(node, op=Op.SCALE_OFFSET, inputs=(tensors[0], *pair))


def _per_channel(values: FloatConstant, shape: Shape) -> FloatConstant | None:
    """Return one number per channel, None where the constant differs within a channel."""
    full = (1,) * (len(shape) - values.ndim) + values.shape
    if not shape or any(size != 1 for size in full[1:]):
        return None
    return values.reshape(-1).repeat(shape[0] // values.size)


def _name(graph: Graph, node: Node, operand: str, names: Names) -> str:
    """Return the constant's own name if nobody else reads it and its sign stays, else a new one.

    A subtracted constant that is trained would change its meaning with its sign; under a new name
    no weights of another file are taken for it.
    """
    readers = sum(other.inputs.count(operand) for other in graph.nodes)
    if readers == 1 and node.op is not Op.SUB:
        return operand
    ending = FIXED if operand.endswith(FIXED) else ""
    return names.claim(f"{node.name}.{'scale' if node.op is Op.MUL else 'offset'}{ending}")


def _kept(values: npt.NDArray[np.generic], dtype: np.dtype[np.generic]) -> FloatConstant:
    array = cast("FloatConstant", np.ascontiguousarray(values, dtype))
    array.flags.writeable = False
    return array
