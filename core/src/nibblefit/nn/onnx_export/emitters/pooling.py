"""Pools."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nibblefit.fixed.geometry import Window
from nibblefit.ir.attributes import window_of
from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_export.writer import Writer


def _geometry(writer: Writer, node: Node) -> tuple[Window, tuple[int, ...], bool]:
    """Return the window, the end padding to write, and whether to write ceil_mode.

    Where a last window would start in the padding, runtimes disagree about ceil_mode; there the
    end padding that makes the last counted window whole says the same without it.
    """
    geometry = window_of(node.attributes, tuple(node.attributes["kernel"]))
    sizes = writer.graph.shapes[node.inputs[0]][1:]
    if not geometry.ceil_mode:
        return geometry, geometry.ends(), False
    rooms = zip(sizes, geometry.begins(), geometry.ends(), geometry.spans(), geometry.strides)
    plain = tuple(-(-(n + b + e - span) // s) + 1 for n, b, e, span, s in rooms)
    if plain == geometry.output_sizes(sizes):
        return geometry, geometry.ends(), True
    return geometry, geometry.reach(sizes), False


def _max_pool(writer: Writer, node: Node) -> None:
    geometry, ends, ceil = _geometry(writer, node)
    writer.emit(
        "MaxPool", node.inputs, node, kernel_shape=geometry.kernel, strides=geometry.strides,
        pads=(*geometry.begins(), *ends), dilations=geometry.dilations, ceil_mode=int(ceil),
    )  # fmt: skip


def _avg_pool(writer: Writer, node: Node) -> None:
    geometry, ends, ceil = _geometry(writer, node)
    if max(geometry.dilations) > 1 and writer.opset < 19:
        raise writer.refuse(node, f"average pools have no dilation in opset {writer.opset}",
                            "export with opset=19 or newer")  # fmt: skip
    inputs, pads = list(node.inputs), (*geometry.begins(), *ends)
    counted = bool(node.attributes["count_include_pad"])
    if counted and geometry.ceil_mode:
        # Declared padding counts, the reach of a partial window does not: only a real Pad can
        # tell the two apart.
        zeros = (0,) * geometry.axes
        amounts = writer.literal(
            f"{node.name}.pads", (0, 0, *geometry.begins(), 0, 0, *geometry.ends())
        )
        inputs = [writer.emit("Pad", [*inputs, amounts], node, part="padded")]
        reach = geometry.reach(writer.graph.shapes[node.inputs[0]][1:])
        pads = (*zeros, *(r - e for r, e in zip(reach, geometry.ends())))
        counted = ceil = False
    writer.emit(
        "AveragePool", inputs, node, kernel_shape=geometry.kernel, strides=geometry.strides,
        pads=pads, count_include_pad=int(counted), ceil_mode=int(ceil),
        dilations=geometry.dilations if max(geometry.dilations) > 1 else None,
    )  # fmt: skip


def _global(kind: str) -> Callable[[Writer, Node], object]:
    return lambda writer, node: writer.emit(kind, node.inputs, node)


EMITTERS: Mapping[Op, Callable[[Writer, Node], object]] = {
    Op.MAX_POOL: _max_pool,
    Op.AVG_POOL: _avg_pool,
    Op.GLOBAL_AVG_POOL: _global("GlobalAveragePool"),
    Op.GLOBAL_MAX_POOL: _global("GlobalMaxPool"),
}
