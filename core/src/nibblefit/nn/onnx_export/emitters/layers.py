"""Layers with weights, and batch norm."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nibblefit.ir.attributes import spatial, window_of
from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_export.writer import Writer


def _conv(writer: Writer, node: Node) -> None:
    weights = writer.graph.constants[node.inputs[1]].shape
    geometry = window_of(node.attributes, tuple(weights[2:]))
    writer.emit(
        "Conv", writer.values(node), node, kernel_shape=geometry.kernel,
        strides=geometry.strides, pads=geometry.pads, dilations=geometry.dilations,
        group=int(node.attributes.get("groups", 1)),
    )  # fmt: skip


def _conv_transpose(writer: Writer, node: Node) -> None:
    weights = writer.graph.constants[node.inputs[1]].shape
    geometry = window_of(node.attributes, tuple(weights[2:]))
    writer.emit(
        "ConvTranspose", writer.values(node), node, kernel_shape=geometry.kernel,
        strides=geometry.strides, pads=geometry.pads, dilations=geometry.dilations,
        group=int(node.attributes.get("groups", 1)),
        output_padding=spatial(node.attributes, "output_padding", geometry.axes, 0),
    )  # fmt: skip


def _linear(writer: Writer, node: Node) -> None:
    """Write Gemm for vectors; for matrices, MatMul with turned weights and Add."""
    if len(writer.graph.shapes[node.inputs[0]]) == 1:
        writer.emit("Gemm", writer.values(node), node, transB=1)
        return
    weights = writer.graph.constants[node.inputs[1]]
    turned = writer.literal(f"{node.inputs[1]}:turned", weights.T)
    has_bias = len(node.inputs) > 2
    product = writer.emit(
        "MatMul", [node.inputs[0], turned], node, part="product" if has_bias else ""
    )
    if has_bias:
        writer.emit("Add", [product, writer.constant(node.inputs[2])], node)


def _matmul(writer: Writer, node: Node) -> None:
    writer.emit("MatMul", writer.values(node), node)


def _batch_norm(writer: Writer, node: Node) -> None:
    # ONNX counts the share of the old statistics, the graph that of the new ones.
    momentum = 1.0 - float(node.attributes.get("momentum", 0.1))
    writer.emit("BatchNormalization", writer.values(node), node,
                epsilon=float(node.attributes["epsilon"]), momentum=momentum)  # fmt: skip


def _scale_offset(writer: Writer, node: Node) -> None:
    x, *names = node.inputs
    shape = (-1, *(1,) * (len(writer.graph.shapes[x]) - 1))
    scale, offset = (
        writer.reshaped(name, (writer.graph.constants[name].size, *shape[1:])) for name in names
    )
    scaled = writer.emit("Mul", [x, scale], node, part="scaled")
    writer.emit("Add", [scaled, offset], node)


def _dropout(writer: Writer, node: Node) -> None:
    ratio = writer.literal(f"{node.name}.ratio", float(node.attributes.get("p", 0.5)))
    writer.emit("Dropout", [node.inputs[0], ratio], node)


EMITTERS: Mapping[Op, Callable[[Writer, Node], object]] = {
    Op.CONV: _conv,
    Op.CONV_TRANSPOSE: _conv_transpose,
    Op.LINEAR: _linear,
    Op.MATMUL: _matmul,
    Op.BATCH_NORM: _batch_norm,
    Op.SCALE_OFFSET: _scale_offset,
    Op.DROPOUT: _dropout,
}
