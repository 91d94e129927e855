"""Operators that only move values, as they are read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nibblefit.ir.graph import Shape
from nibblefit.ir.ops import Op
from nibblefit_vitis.xir.graph import XirOperator
from nibblefit_vitis.xir.importing.assembly import Assembly
from nibblefit_vitis.xir.importing.layers import Reader
from nibblefit_vitis.xir.importing.values import flag, image, number, sizes, text, wrong
from nibblefit_vitis.xir.importing.views import View, image_axes


def _transpose(assembly: Assembly, operator: XirOperator) -> None:
    given = assembly.view(operator)
    order = sizes(assembly, operator, "order", len(given.axes))
    if sorted(order) != list(range(len(given.axes))):
        raise assembly.refused(operator, f"its order {order} is no permutation")
    moved = given.moved(order)
    if operator.name in assembly.names.layers:
        moved = assembly.settled(moved, image_axes(len(order)), operator.name)
    assembly.views[operator.name] = moved


def _reshape(assembly: Assembly, operator: XirOperator) -> None:
    given, seen = assembly.view(operator), operator.tensor.shape
    if math.prod(seen) != math.prod(given.shape):
        raise assembly.refused(operator, f"{given.seen} cannot become {seen}")
    image = given.axes == image_axes(4) and not given.runs_straight
    if image and len(seen) == 2 and _only_dense_layers_read(assembly, operator):
        # Its dense layers put their columns in our order, so nothing needs to be transposed.
        assembly.flattened[operator.name] = given.shape[1:]
    else:
        given = assembly.straight(given)
    axes = image_axes(len(seen))
    shape = tuple(seen[axes.index(axis)] for axis in range(len(seen)))
    if not View("", shape, axes).runs_straight:
        axes, shape = tuple(range(len(seen))), seen
    assembly.add(operator, Op.RESHAPE, (given.tensor,), shape, {"shape": shape[1:]}, axes=axes)


def _only_dense_layers_read(assembly: Assembly, operator: XirOperator) -> bool:
    """Return whether products with constant matrices alone read a vector."""
    vector, readers = operator.name, assembly.readers(operator.name)
    operands = [reader.arguments.get("input", ()) for reader in readers]
    return (
        bool(readers) and all(reader.kind == "matmul" for reader in readers)
        and all(len(pair) == 2 and pair[0] == vector and assembly.is_constant(pair[1])
                for pair in operands)
    )  # fmt: skip


def _slice(assembly: Assembly, operator: XirOperator) -> None:
    given, rank = assembly.view(operator), len(operator.tensor.shape)
    begin, end, strides = (
        sizes(assembly, operator, key, rank) for key in ("begin", "end", "strides")
    )
    if rank != len(given.axes) or min(strides, default=1) < 1 or min(*begin, *end) < 0:
        raise assembly.refused(operator, "begin, end and strides do not fit its input")
    cuts = sorted(zip(given.axes, begin, end, strides, strict=True))
    kept = [(axis, start, stop, step) for axis, start, stop, step in cuts
            if (start, stop, step) != (0, given.shape[axis], 1)]  # fmt: skip
    shape = list(given.shape)
    for axis, start, stop, step in kept:
        shape[axis] = len(range(*slice(start, stop, step).indices(shape[axis])))
    axes, starts, ends, steps = zip(*kept, strict=True) if kept else ((), (), (), ())
    attributes = {"axes": axes, "starts": starts, "ends": ends, "strides": steps}
    assembly.add(operator, Op.SLICE, (given.tensor,), tuple(shape), attributes, axes=given.axes)


def _pad(assembly: Assembly, operator: XirOperator) -> None:
    given = assembly.view(operator)
    amounts = sizes(assembly, operator, "paddings", 2 * len(given.axes))
    if min(amounts) < 0 or text(operator, "mode") != "CONSTANT":
        raise assembly.refused(operator, f"it pads {amounts} with other than a constant")
    places = [given.axes.index(axis) for axis in range(1, len(given.axes))]
    begins = tuple(amounts[2 * place] for place in places)
    ends = tuple(amounts[2 * place + 1] for place in places)
    values = operator.value("constant_values") or (0.0,)
    if not isinstance(values, tuple) or not all(value == values[0] for value in values):
        raise wrong(assembly, operator, "constant_values", "one number throughout")
    grown = zip(given.shape[1:], begins, ends, strict=True)
    shape: Shape = (given.shape[0], *(size + before + after for size, before, after in grown))
    attributes = {"pads": begins + ends, "value": float(values[0])}
    assembly.add(operator, Op.PAD, (given.tensor,), shape, attributes, axes=given.axes)


def _resize(assembly: Assembly, operator: XirOperator) -> None:
    given, seen = image(assembly, operator), operator.tensor.shape
    if len(seen) != 4:
        raise assembly.refused(operator, f"its shape {seen} is no image's")
    mode = text(operator, "mode")
    attributes: dict[str, Any] = {"sizes": seen[1:3]}
    if mode == "NEAREST":
        op = Op.RESIZE_NEAREST
        attributes |= {"coordinates": "asymmetric", "nearest_mode": "floor"}
    elif mode == "BILINEAR":
        op = Op.RESIZE_BILINEAR
        half = (
            "half_pixel"
            if flag(assembly, operator, "half_pixel_centers", default=False)
            else "asymmetric"
        )
        aligned = flag(assembly, operator, "align_corners", default=False)
        attributes["coordinates"] = "align_corners" if aligned else half
    else:
        raise assembly.refused(operator, f"its mode is {mode}")
    assembly.add(operator, op, (given.tensor,), (*given.shape[:2], *seen[1:3]), attributes)


def _shuffle(assembly: Assembly, operator: XirOperator) -> None:
    given, factor = image(assembly, operator), number(assembly, operator, "scale", 1)
    if not flag(assembly, operator, "upscale", default=True) or factor < 1:
        raise assembly.refused(operator, "it makes images smaller")
    batch, channels, height, width = given.shape
    shape = (batch, channels // factor**2, height * factor, width * factor)
    assembly.add(operator, Op.PIXEL_SHUFFLE, (given.tensor,), shape,
                 {"factor": factor, "order": "crd"})  # fmt: skip


READERS: Mapping[str, Reader] = {
    "transpose": _transpose,
    "reshape": _reshape,
    "strided_slice": _slice,
    "pad": _pad,
    "resize": _resize,
    "pixel-shuffle": _shuffle,
}
