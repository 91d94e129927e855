"""Operators that only move values: flattening, reshaping, upsampling by repetition."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from nibblefit.fixed.operators.resize import nearest_indices
from nibblefit.ir.graph import Node, Shape
from nibblefit_maxim.fusing.assembly import Assembly, identity
from nibblefit_maxim.fusing.geometry import UnfitError
from nibblefit_maxim.fusing.value import Value
from nibblefit_maxim.fusing.weighted import cropped
from nibblefit_maxim.layers import HardwareLayer, Operator

_REPEATS = 2


def reshape(site: Assembly, node: Node) -> Value:
    """Return flattened features, or the same channels with their positions arranged otherwise."""
    value, shape = site.read(node.inputs[0]), tuple(site.graph.shapes[node.output])
    done = (*value.flattening, node.name)
    if shape == value.float_shape:
        return value
    if shape == value.shape:  # back from features
        return replace(value, is_flat=False, flattening=done)
    if shape == (prod(value.shape),):
        return replace(value, is_flat=True, flattening=done)
    if len(shape) > 1 and shape[0] == value.shape[0] and len(shape) <= 3:
        return _viewed(site, value, shape, done)
    raise UnfitError(
        f"it reshapes {value.float_shape} to {shape}, which moves values between channels",
        "flatten to features, or keep the channels and rearrange their positions only",
    )


def _viewed(site: Assembly, value: Value, shape: Shape, done: tuple[str, ...]) -> Value:
    """Return the same memory read with other rows and columns (``in_dim``)."""
    value = cropped(value)
    if not value.is_plain:
        value = site.flush(value)
    return Value(value.sources, shape, shape, is_shared=value.is_shared, flattening=done)


def resize_nearest(site: Assembly, node: Node) -> Value:
    """Return a map twice as large, every position repeated, by a transposed convolution."""
    value = site.read(node.inputs[0])
    if value.is_flat or len(value.shape) != 3 or not _repeats(value.shape, node):
        raise UnfitError(
            f"it resizes {value.float_shape} to {tuple(node.attributes['sizes'])}",
            "upsample by repeating every position twice along both axes, or use a transposed "
            "convolution",
        )
    value = cropped(value)
    if site.is_emulated(value):
        value = site.flush(value)
    shape = (value.shape[0], *(_REPEATS * side for side in value.shape[1:]))
    plain = HardwareLayer(
        name=node.name,
        operator=Operator.PASSTHROUGH,
        inputs=value.sources,
        input_shape=value.operand_shape,
        output_shape=shape,
        pool=value.pool,
        eltwise=value.eltwise,
        pool_first=value.pool_first,
        sources=(*value.nodes, node.name),
        output=node.output,
    )
    layer = replace(
        identity(plain), operator=Operator.CONV_TRANSPOSE2D, kernel=(3, 3), pad=(1, 1),
        notes=("repeating positions runs as a transposed convolution with constant weights",),
    )  # fmt: skip
    return site.put(layer, shape)


def _repeats(shape: Shape, node: Node) -> bool:
    mode = str(node.attributes.get("nearest_mode", "floor"))
    for size, wanted in zip(shape[1:], node.attributes["sizes"], strict=True):
        if wanted != _REPEATS * size:
            return False
        indices = nearest_indices(size, wanted, str(node.attributes["coordinates"]), mode)
        if not np.array_equal(indices, np.arange(wanted) // _REPEATS):
            return False
    return True
