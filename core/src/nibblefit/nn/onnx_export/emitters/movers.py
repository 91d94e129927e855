"""Concatenation, splitting, padding and changes of shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_export.writer import Writer

#: "To the end" of an axis, as exporters write it.
_END = (1 << 63) - 1
_START_BACKWARDS = -(1 << 63)


def _concat(writer: Writer, node: Node) -> None:
    if any(name in writer.graph.constants for name in node.inputs):
        raise writer.refuse(node, "it joins a constant to every sample", "pad instead")
    writer.emit("Concat", node.inputs, node, axis=int(node.attributes["axis"]))


def _slice(writer: Writer, node: Node) -> None:
    a = node.attributes
    strides = a.get("strides") or (1,) * len(a["axes"])
    ends = [
        end if end is not None else _END if stride > 0 else _START_BACKWARDS
        for end, stride in zip(a["ends"], strides)
    ]
    given: dict[str, Any] = {"starts": a["starts"], "ends": ends, "axes": a["axes"],
                             "steps": strides}  # fmt: skip
    inputs = [writer.literal(f"{node.name}.{key}", value) for key, value in given.items()]
    writer.emit("Slice", [node.inputs[0], *inputs], node)


def _split(writer: Writer, node: Node) -> None:
    sizes = writer.literal(f"{node.name}.sizes", node.attributes["sizes"])
    writer.emit("Split", [node.inputs[0], sizes], node, axis=int(node.attributes["axis"]))


def _pad(writer: Writer, node: Node) -> None:
    amounts = node.attributes["pads"]
    half = len(amounts) // 2
    pads = writer.literal(f"{node.name}.pads", (0, *amounts[:half], 0, *amounts[half:]))
    value = writer.literal(f"{node.name}.value", float(node.attributes.get("value", 0)))
    writer.emit("Pad", [node.inputs[0], pads, value], node)


def _flatten(writer: Writer, node: Node) -> None:
    if int(node.attributes.get("start_axis", 1)) == 1:
        writer.emit("Flatten", node.inputs, node, axis=1)
    else:
        _reshape(writer, node)


def _reshape(writer: Writer, node: Node) -> None:
    # Zero copies the batch axis, whatever its size.
    shape = writer.literal(f"{node.name}.shape", (0, *writer.graph.shapes[node.output]))
    writer.emit("Reshape", [node.inputs[0], shape], node)


def _transpose(writer: Writer, node: Node) -> None:
    writer.emit("Transpose", node.inputs, node, perm=tuple(node.attributes["perm"]))


def _pixel_shuffle(writer: Writer, node: Node) -> None:
    writer.emit("DepthToSpace", node.inputs, node, blocksize=int(node.attributes["factor"]),
                mode=str(node.attributes.get("order", "crd")).upper())  # fmt: skip


EMITTERS: Mapping[Op, Callable[[Writer, Node], object]] = {
    Op.CONCAT: _concat,
    Op.SLICE: _slice,
    Op.SPLIT: _split,
    Op.PAD: _pad,
    Op.FLATTEN: _flatten,
    Op.RESHAPE: _reshape,
    Op.TRANSPOSE: _transpose,
    Op.PIXEL_SHUFFLE: _pixel_shuffle,
}
