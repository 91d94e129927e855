"""Layers that are written in another way than core does: with the DPU's numbers, or rounded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_export.emitters import EMITTERS
from nibblefit_vitis.formats import FixPosition
from nibblefit_vitis.preparation.constants import (
    HARD_SIGMOID_FACTOR,
    HARD_SWISH_GATE_POSITION,
    pool_reciprocal,
)
from nibblefit_vitis.writing.onnx_form.steps import step_of

if TYPE_CHECKING:
    from nibblefit_vitis.writing.onnx_form.writing import QdqWriter

_GATE = FixPosition(HARD_SWISH_GATE_POSITION + 1, HARD_SWISH_GATE_POSITION)


def _average(writer: QdqWriter, node: Node) -> None:
    mean = writer.fresh(f"{node.name}.mean")
    EMITTERS[node.op](writer, replace(node, name=mean, outputs=(mean,)))
    correction = pool_reciprocal(writer.graph, node).correction
    factor = writer.literal(f"{node.name}.factor", np.float32(correction))
    writer.emit("Mul", [mean, factor], node)


def _gate(writer: QdqWriter, node: Node, *, whole: bool) -> str:
    """Write relu6(x + 3) · 2731 / 2**14, exact in float32; `whole`: it is the node itself."""
    three, zero, six, factor = (
        writer.literal(f"{node.name}.{word}", np.float32(value))
        for word, value in (("three", 3), ("zero", 0), ("six", 6), ("factor", HARD_SIGMOID_FACTOR))
    )
    shifted = writer.emit("Add", [node.inputs[0], three], node, part="shifted")
    clipped = writer.emit("Clip", [shifted, zero, six], node, part="clipped")
    return writer.emit("Mul", [clipped, factor], node, part="" if whole else "gate")


def _hard_swish(writer: QdqWriter, node: Node) -> None:
    gate = _gate(writer, node, whole=False)
    if writer.rounds(node.output):
        rounded = writer.fresh(f"{node.name}.gate_value")
        writer.round(step_of(_GATE), gate, rounded, writer.fresh(f"{node.name}.gate_codes"))
        gate = rounded
    writer.emit("Mul", [node.inputs[0], gate], node)


def dense(writer: QdqWriter, node: Node) -> None:
    """Write a dense layer; behind matrices its rounded weights are turned by an operator."""
    if len(writer.graph.shapes[node.inputs[0]]) == 1:
        EMITTERS[node.op](writer, node)
        return
    weights = writer.constant(node.inputs[1])
    turned = writer.emit("Transpose", [weights], node, part="turned", perm=(1, 0))
    biased = len(node.inputs) > 2
    product = writer.emit("MatMul", [node.inputs[0], turned], node, part="product" * biased)
    if biased:
        writer.emit("Add", [product, writer.constant(node.inputs[2])], node)


FACTOR_EMITTERS: Mapping[Op, Callable[[QdqWriter, Node], object]] = {
    Op.AVG_POOL: _average,
    Op.GLOBAL_AVG_POOL: _average,
    Op.HARD_SIGMOID: lambda writer, node: _gate(writer, node, whole=True),
    Op.HARD_SWISH: _hard_swish,
}
