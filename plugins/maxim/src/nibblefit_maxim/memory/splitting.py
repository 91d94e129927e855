"""Combinations of operands in layers of their own.

The MAX78002 does not combine operands in front of a convolution that has a bias; with the
combination in a layer of its own it does. The integers are the same: combining clips to eight bits
in either case.

Source: ai8x-synthesis commit ab4f4c0, `izer/backend/max7800x.py`, mask and processor enables: the
layer is refused if it has operands, an operator, and a bias of its own; other layers' biases in the
same quadrant do not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nibblefit_maxim.layers import HardwareLayer, Operator
from nibblefit_maxim.memory.buffers import pooled_shape
from nibblefit_maxim.memory.needs import LayerNeeds


def split_sums(needs: Sequence[LayerNeeds]) -> tuple[list[LayerNeeds], frozenset[str]]:
    """Return the layers with biased layers' combinations in front of them, and the new names."""
    taken = {need.layer.name for need in needs} | {need.layer.tensor for need in needs}
    found: list[LayerNeeds] = []
    added = set()
    for need in needs:
        layer = need.layer
        if layer.eltwise is None or not layer.has_weights or not need.is_biased:
            found.append(need)
            continue
        name = f"{layer.name}_operands"
        while name in taken:
            name += "_"
        taken.add(name)
        added.add(name)
        shape = (layer.in_channels, *pooled_shape(layer))
        combined = HardwareLayer(
            name, Operator.PASSTHROUGH, layer.inputs, layer.input_shape, shape, pool=layer.pool,
            eltwise=layer.eltwise, pool_first=layer.pool_first, packed=layer.packed,
        )  # fmt: skip
        rest = replace(
            layer, inputs=(name,), input_shape=shape, eltwise=None, pool=None, pool_first=True,
            packed=0,
        )  # fmt: skip
        found += [LayerNeeds(combined), replace(need, layer=rest)]
    return found, frozenset(added)
