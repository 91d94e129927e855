"""Arithmetic and activation functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_export.writer import Writer

Emitter = Callable[[Writer, Node], object]


def _simple(kind: str) -> Emitter:
    return lambda writer, node: writer.emit(kind, writer.values(node), node)


def _chained(kind: str) -> Emitter:
    """Combine more than two inputs from left to right."""

    def emitter(writer: Writer, node: Node) -> None:
        first, *rest = writer.values(node)
        for place, name in enumerate(rest, start=1):
            part = "" if place == len(rest) else f"step{place}"
            first = writer.emit(kind, [first, name], node, part=part)

    return emitter


def _clip(writer: Writer, node: Node) -> None:
    inputs = list(node.inputs)
    for key in ("lo", "hi"):
        bound = node.attributes[key]
        inputs.append("" if bound is None else writer.literal(f"{node.name}.{key}", float(bound)))
    while not inputs[-1]:
        inputs.pop()
    writer.emit("Clip", inputs, node)


def _leaky_relu(writer: Writer, node: Node) -> None:
    writer.emit("LeakyRelu", node.inputs, node, alpha=float(node.attributes["slope"]))


def _prelu(writer: Writer, node: Node) -> None:
    x, slope = node.inputs
    size = writer.graph.constants[slope].size
    shape = (size, *(1,) * (len(writer.graph.shapes[x]) - 1))
    writer.emit("PRelu", [x, writer.reshaped(slope, shape)], node)


def _hard_sigmoid(writer: Writer, node: Node) -> None:
    alpha, beta = node.attributes.get("alpha", 1 / 6), node.attributes.get("beta", 0.5)
    writer.emit("HardSigmoid", node.inputs, node, alpha=float(alpha), beta=float(beta))


def _hard_swish(writer: Writer, node: Node) -> None:
    if writer.opset >= 14:
        writer.emit("HardSwish", node.inputs, node)
        return
    gate = writer.emit("HardSigmoid", node.inputs, node, part="gate", alpha=1 / 6, beta=0.5)
    writer.emit("Mul", [node.inputs[0], gate], node)


def _softmax(writer: Writer, node: Node) -> None:
    writer.emit("Softmax", node.inputs, node, axis=int(node.attributes["axis"]))


def _argmax(writer: Writer, node: Node) -> None:
    writer.emit("ArgMax", node.inputs, node, axis=int(node.attributes["axis"]),
                keepdims=int(node.attributes.get("keepdims", False)))  # fmt: skip


EMITTERS: Mapping[Op, Emitter] = {
    Op.ADD: _chained("Add"),
    Op.SUB: _chained("Sub"),
    Op.MUL: _chained("Mul"),
    Op.RELU: _simple("Relu"),
    Op.ABS: _simple("Abs"),
    Op.SIGMOID: _simple("Sigmoid"),
    Op.TANH: _simple("Tanh"),
    Op.IDENTITY: _simple("Identity"),
    Op.CLIP: _clip,
    Op.LEAKY_RELU: _leaky_relu,
    Op.PRELU: _prelu,
    Op.HARD_SIGMOID: _hard_sigmoid,
    Op.HARD_SWISH: _hard_swish,
    Op.SOFTMAX: _softmax,
    Op.ARGMAX: _argmax,
}
