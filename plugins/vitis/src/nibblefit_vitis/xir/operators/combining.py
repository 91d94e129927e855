"""Operators that combine tensors: sums, products, concatenations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit_vitis.xir.attributes import number
from nibblefit_vitis.xir.building import Builder


def _elementwise(kind: str) -> Callable[[Builder, Node], None]:
    def emit(builder: Builder, node: Node) -> None:
        values = [builder.usual(builder.value(node, index)) for index in range(len(node.inputs))]
        shape = (1, *builder.graph.shapes[node.output])
        arguments = {"input": tuple(value.operator for value in values)}
        made = builder.emit(builder.name_of(node), kind, arguments, {}, shape)
        builder.finish(node.output, made)

    return emit


def _concat(builder: Builder, node: Node) -> None:
    values = [builder.usual(builder.value(node, index)) for index in range(len(node.inputs))]
    shape = (1, *builder.graph.shapes[node.output])
    axis = values[0].order.index(node.attributes["axis"] % len(shape))
    arguments = {"input": tuple(value.operator for value in values)}
    made = builder.emit(builder.name_of(node), "concat", arguments, {"axis": number(axis)}, shape)
    builder.finish(node.output, made)


EMITTERS: Mapping[Op, Callable[[Builder, Node], None]] = {
    Op.ADD: _elementwise("add"),
    Op.SUB: _elementwise("sub"),
    Op.MUL: _elementwise("mul"),
    Op.CONCAT: _concat,
}
