"""Combinations of operands in layers of their own.

The MAX78002 keeps no bias in the quadrants of a layer that combines operands in front of a
convolution. Where such layers use every quadrant, biases of other layers have no place; with the
combination in a layer of its own they have. The integers are the same: combining rounds to eight
bits in either case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nibblefit_maxim.layers import HardwareLayer, Operator
from nibblefit_maxim.memory.feed import pooled_shape
from nibblefit_maxim.memory.needs import LayerNeeds


def split_sums(
    needs: Sequence[LayerNeeds], *, only_biased: bool
) -> tuple[list[LayerNeeds], frozenset[str]]:
    """Return the layers with combinations in layers of their own, and the new layers' names.

    Args:
        needs: The layers.
        only_biased: Take them only out of layers that have a bias themselves.
    """
    taken = {need.layer.name for need in needs} | {need.layer.tensor for need in needs}
    found: list[LayerNeeds] = []
    added = set()
    for need in needs:
        layer = need.layer
        is_fused = layer.eltwise is not None and layer.has_weights
        if not is_fused or (only_biased and not need.is_biased):
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
