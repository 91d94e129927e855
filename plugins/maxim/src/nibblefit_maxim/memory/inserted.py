"""Layers that the planner adds to a network, and their integers."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from nibblefit.ir.graph import Shape
from nibblefit_maxim.layers import HardwareLayer, IntegerLayer, Operator
from nibblefit_maxim.memory.arrangement import Origin

#: Weight of a move: with seven fractional bits less one, ½ of full scale. The shift of one that
#: makes up for it keeps every code as it is: (64·x + 32) >> 6 = x.
_UNIT_WEIGHT = 64
_UNIT_FRAC = 6


def inserted_layer(
    origin: Origin, tensor: str, shape: Shape, taken: Collection[str]
) -> HardwareLayer:
    """Return a layer that hands `tensor` on unchanged.

    Args:
        origin: A gap needs no convolution, a move does.
        tensor: What it reads.
        shape: Its shape, (channels, *spatial).
        taken: Names in use.
    """
    name = f"{tensor}_{origin}"
    count = 1
    while name in taken:
        count += 1
        name = f"{tensor}_{origin}_{count}"
    if origin is Origin.GAP:
        return HardwareLayer(name, Operator.PASSTHROUGH, (tensor,), shape, shape)
    axes = len(shape) - 1
    operator = (Operator.LINEAR, Operator.CONV1D, Operator.CONV2D)[axes]
    return HardwareLayer(
        name, operator, (tensor,), shape, shape,
        kernel=(1,) * axes, pad=(0,) * axes, dilation=(1,) * axes, identity=True,
    )  # fmt: skip


def inserted_integers(layer: HardwareLayer, frac: int) -> IntegerLayer:
    """Return an inserted layer with its weights; `frac` is the data's fractional bits."""
    if not layer.identity:
        return IntegerLayer(layer, in_frac=frac, out_frac=frac)
    unit = np.eye(layer.in_channels, dtype=np.int64) * _UNIT_WEIGHT
    weights = unit.reshape(*unit.shape, *layer.kernel)
    return IntegerLayer(layer, weights=weights, weight_frac=_UNIT_FRAC, in_frac=frac, out_frac=frac)
