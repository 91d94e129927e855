"""Resizing, by scales: sizes would have to name the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_export.writer import Writer


def _resize(mode: str) -> Callable[[Writer, Node], object]:
    def emitter(writer: Writer, node: Node) -> None:
        before = writer.graph.shapes[node.inputs[0]][1:]
        after = tuple(node.attributes["sizes"])
        scales = np.array([1.0, 1.0, *(a / b for a, b in zip(after, before))], np.float32)
        reached = tuple(int(np.floor(np.float32(b) * s)) for b, s in zip(before, scales[2:]))
        if reached != after:
            raise writer.refuse(
                node, f"no float32 scale brings {before} to {after}",
                "choose sizes that are simple multiples of each other",
            )  # fmt: skip
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
