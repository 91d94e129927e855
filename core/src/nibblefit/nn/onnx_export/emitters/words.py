"""Bitwise functions of words: rounding, integers, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnx import TensorProto

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_export.writer import Writer

#: Operator set that has bitwise functions.
_OPSET = 18
_KINDS = {Op.OR: "BitwiseOr", Op.XOR: "BitwiseXor"}


def _bitwise(writer: Writer, node: Node) -> None:
    if writer.opset < _OPSET:
        raise UnsupportedError(
            f"node '{node.name}' ({node.op.value}) has no form in ONNX opset {writer.opset}",
            hint=f"export with opset {_OPSET} or newer",
        )
    unit, bound = 2.0 ** node.attributes.get("frac", 7), 2.0 ** (node.attributes.get("bits", 8) - 1)

    def literal(word: str, value: float) -> str:
        return writer.literal(f"{node.name}:{word}", value)

    numbers = [literal("unit", unit), literal("half", 0.5)]
    bounds = [literal("low", -bound), literal("high", bound - 1)]
    words = []
    for value in writer.values(node):
        scaled = writer.emit("Mul", [value, numbers[0]], node, part="scaled")
        raised = writer.emit("Add", [scaled, numbers[1]], node, part="raised")
        whole = writer.emit("Floor", [raised], node, part="whole")
        clipped = writer.emit("Clip", [whole, *bounds], node, part="clipped")
        words.append(writer.emit("Cast", [clipped], node, part="word", to=TensorProto.INT32))
    total = words[0]
    for word in words[1:]:
        total = writer.emit(_KINDS[node.op], [total, word], node, part="combined")
    real = writer.emit("Cast", [total], node, part="real", to=TensorProto.FLOAT)
    writer.emit("Mul", [real, literal("step", 1.0 / unit)], node)


EMITTERS: Mapping[Op, Callable[[Writer, Node], None]] = {Op.OR: _bitwise, Op.XOR: _bitwise}
