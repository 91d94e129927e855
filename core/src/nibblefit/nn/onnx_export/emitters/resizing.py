"""Resizing, by scales: sizes would have to name the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_export.writer import Writer


def _scale(before: int, after: int) -> np.float32:
    """Return the float32 scale that leads a reader, who rounds the new size down, to `after`.

    Whether that reader multiplies in float32 or in float64.
    """
    scale = np.float32(after / before)
    reached = float(scale) * before
    return scale if reached >= after else np.nextafter(scale, np.float32(np.inf))


def _resize(mode: str) -> Callable[[Writer, Node], object]:
    def emitter(writer: Writer, node: Node) -> None:
        before = writer.graph.shapes[node.inputs[0]][1:]
        after = tuple(node.attributes["sizes"])
        scales = np.array([1.0, 1.0, *map(_scale, before, after)], np.float32)
        names = ["", writer.literal(f"{node.name}.scales", scales)]
        nearest = node.attributes.get("nearest_mode", "floor") if mode == "nearest" else None
        writer.emit(
            "Resize", [node.inputs[0], *names], node, mode=mode, nearest_mode=nearest,
            coordinate_transformation_mode=node.attributes["coordinates"],
        )  # fmt: skip

    return emitter


EMITTERS: Mapping[Op, Callable[[Writer, Node], object]] = {
    Op.RESIZE_NEAREST: _resize("nearest"),
    Op.RESIZE_BILINEAR: _resize("linear"),
}
