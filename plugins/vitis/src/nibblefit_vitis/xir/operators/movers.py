"""Operators that only move values: shapes, slices, padding, resizing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from nibblefit.ir.graph import Node, Shape
from nibblefit.ir.ops import Op
from nibblefit_vitis.xir.attributes import flag, number, numbers, reals, text
from nibblefit_vitis.xir.building import LAST, Builder, Value, usual_order
from nibblefit_vitis.xir.graph import Attribute


def _reshape(builder: Builder, node: Node) -> None:
    shape = (1, *builder.graph.shapes[node.output])
    given = builder.value(node, 0)
    image: Shape = ()
    if not given.is_flat:
        if given.order == LAST and len(shape) == 2 and _only_dense_layers_read(builder, node):
            image = given.shape[1:]
        else:
            given = builder.plain(given)
    # An image keeps the usual order where that is the same order in memory.
    order = tuple(range(len(shape)))
    if len(shape) == 4 and Value("", shape, LAST).is_flat:
        order = LAST
    name = builder.name_of(node)
    sizes = _stacked(builder, name, [shape[axis] for axis in order])
    arguments = {"input": (given.operator,), "shape": (sizes,)}
    made = builder.emit(name, "reshape", arguments, {"shape": numbers((0,))}, shape, order)
    builder.finish(node.output, replace(made, image=image))


def _only_dense_layers_read(builder: Builder, node: Node) -> bool:
    """Return whether a vector goes into dense layers alone, as it is.

    Their weights are then reordered in place of the image, as the original's exporter does: a
    transposition would run on the CPU. Source: pytorch_nndct 3.5, optimization before deployment.
    """
    vector, readers = node.output, builder.readers[node.output]
    return (
        bool(readers) and vector not in builder.graph.outputs
        and builder.formats.outputs.get(vector) is None
        and all(reader.op is Op.LINEAR and vector not in reader.inputs[1:]
                and builder.formats.inputs.get(reader.name) is None for reader in readers)
    )  # fmt: skip


def _stacked(builder: Builder, name: str, sizes: Sequence[int]) -> str:
    """Add the constants of a shape and the ``stack`` that joins them; returns the latter."""
    parts = [
        builder.literal(f"{name}_shape_attr_{index}_", np.array([size], np.float32))
        for index, size in enumerate(sizes)
    ]
    made = builder.emit(builder.names.fresh(f"{name}_shape_i0"), "stack", {"input": parts},
                        {"axis": number(0)}, (len(sizes), 1))  # fmt: skip
    builder.annotate(made.operator, {"shape_info": numbers(sizes)})
    return made.operator


def _transpose(builder: Builder, node: Node) -> None:
    given = builder.value(node, 0)
    perm = tuple(axis % len(given.shape) for axis in node.attributes["perm"])
    shape = tuple(given.shape[axis] for axis in perm)
    renamed = Value(given.operator, shape, tuple(perm.index(axis) for axis in given.order))
    order = usual_order(len(shape))
    moves = tuple(renamed.order.index(axis) for axis in order)
    made = builder.emit(builder.name_of(node), "transpose", {"input": (given.operator,)},
                        {"order": numbers(moves)}, shape, order)  # fmt: skip
    builder.finish(node.output, made)


def _slice(builder: Builder, node: Node) -> None:
    given = builder.value(node, 0)
    cuts = [slice(0, size, 1) for size in given.shape]
    axes = node.attributes["axes"]
    strides = node.attributes.get("strides") or (1,) * len(axes)
    for axis, start, end, stride in zip(axes, node.attributes["starts"], node.attributes["ends"],
                                        strides, strict=True):  # fmt: skip
        if stride < 1:
            raise builder.refuse(node, f"it has stride {stride}", "slice forwards")
        cuts[axis] = slice(*slice(start, end, stride).indices(given.shape[axis]))
    _cut(builder, node.output, builder.name_of(node), given, cuts)


def _split(builder: Builder, node: Node) -> None:
    given = builder.value(node, 0)
    axis, begin, name = node.attributes["axis"] % len(given.shape), 0, builder.name_of(node)
    for index, (output, size) in enumerate(
        zip(node.outputs, node.attributes["sizes"], strict=True)
    ):
        cuts = [slice(0, length, 1) for length in given.shape]
        cuts[axis] = slice(begin, begin + size, 1)
        _cut(builder, output, builder.names.fresh(f"{name}_{index}"), given, cuts)
        begin += size


def _cut(builder: Builder, output: str, name: str, given: Value, cuts: list[slice]) -> None:
    ordered = [cuts[axis] for axis in given.order]
    attributes = {
        "begin": numbers(cut.start for cut in ordered),
        "end": numbers(cut.stop for cut in ordered),
        "strides": numbers(cut.step for cut in ordered),
    }
    shape = (1, *builder.graph.shapes[output])
    made = builder.emit(name, "strided_slice", {"input": (given.operator,)}, attributes, shape,
                        given.order)  # fmt: skip
    builder.finish(output, made)


def _pad(builder: Builder, node: Node) -> None:
    given = builder.value(node, 0)
    pads: Shape = tuple(node.attributes["pads"])
    half = len(pads) // 2
    ours = [(0, 0), *zip(pads[:half], pads[half:], strict=True)]
    amounts = [amount for axis in given.order for amount in ours[axis]]
    if min(amounts) < 0:
        raise builder.refuse(node, "it has negative padding", "use a slice")
    value = float(node.attributes.get("value", 0.0))
    attributes = {
        "paddings": numbers(amounts),
        "mode": text("CONSTANT"),
        "constant_values": reals([value] * len(amounts)),
    }
    shape = (1, *builder.graph.shapes[node.output])
    made = builder.emit(builder.name_of(node), "pad", {"input": (given.operator,)}, attributes,
                        shape, given.order)  # fmt: skip
    builder.finish(node.output, made)


def _resize(mode: str) -> Callable[[Builder, Node], None]:
    def emit(builder: Builder, node: Node) -> None:
        given = builder.usual(builder.value(node, 0))
        shape = (1, *builder.graph.shapes[node.output])
        factors = {new / old for new, old in zip(shape[2:], given.shape[2:], strict=True)}
        if len(shape) != 4 or len(factors) != 1:
            raise builder.refuse(node, "height and width are not scaled by the same factor",
                                 "the DPU scales both alike")  # fmt: skip
        factor = factors.pop()
        attributes = {
            "mode": text(mode),
            "scale": reals((factor, factor)),
            **_coordinates(builder, node, factor),
        }
        made = builder.emit(builder.name_of(node), "resize", {"input": (given.operator,)},
                            attributes, shape)  # fmt: skip
        builder.finish(node.output, made)

    return emit


def _coordinates(builder: Builder, node: Node, factor: float) -> Mapping[str, Attribute]:
    """Return how positions are counted; whole factors of nearest ones are alike in all ways."""
    way = node.attributes.get("coordinates", "half_pixel")
    if node.op is Op.RESIZE_NEAREST:
        if factor != int(factor) or way == "align_corners":
            raise builder.refuse(node, f"it scales by {factor} ({way})",
                                 "scale by a whole factor, corners not aligned")  # fmt: skip
        rounding = node.attributes.get("nearest_mode", "floor")
        if not ((way == "asymmetric" and rounding == "floor")
                or (way != "asymmetric" and rounding.startswith("round"))):  # fmt: skip
            raise builder.refuse(node, f"it takes neighbours by {way}, {rounding}",
                                 "use PyTorch's nearest interpolation")  # fmt: skip
        return {"align_corners": flag(False), "half_pixel_centers": flag(False)}
    return {
        "align_corners": flag(way == "align_corners"),
        "half_pixel_centers": flag(way in ("half_pixel", "pytorch_half_pixel")),
    }


def _pixel_shuffle(builder: Builder, node: Node) -> None:
    if node.attributes.get("order", "crd") != "crd":
        raise builder.refuse(node, "its channels are ordered as ONNX's default (dcr)",
                             "use PyTorch's pixel shuffle")  # fmt: skip
    given = builder.usual(builder.value(node, 0))
    attributes = {"scale": number(node.attributes["factor"]), "upscale": flag(True)}
    shape = (1, *builder.graph.shapes[node.output])
    made = builder.emit(builder.name_of(node), "pixel-shuffle", {"input": (given.operator,)},
                        attributes, shape)  # fmt: skip
    builder.finish(node.output, made)


def _same(builder: Builder, node: Node) -> None:
    builder.alias(node.output, node.inputs[0])


EMITTERS: Mapping[Op, Callable[[Builder, Node], None]] = {
    Op.RESHAPE: _reshape,
    Op.FLATTEN: _reshape,
    Op.TRANSPOSE: _transpose,
    Op.SLICE: _slice,
    Op.SPLIT: _split,
    Op.PAD: _pad,
    Op.RESIZE_NEAREST: _resize("NEAREST"),
    Op.RESIZE_BILINEAR: _resize("BILINEAR"),
    Op.PIXEL_SHUFFLE: _pixel_shuffle,
    Op.IDENTITY: _same,
    Op.DROPOUT: _same,
}
