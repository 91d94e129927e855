"""Who wants which tensor in which form, and which tensors can be written in that form at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nibblefit.ir.graph import Shape
from nibblefit_maxim.layers import HardwareLayer
from nibblefit_maxim.memory.processors import passes
from nibblefit_maxim.parts import PROCESSORS, Part

#: A family of tensors that lie interleaved together, and a position in it.
Slot = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Wishes:
    """The forms that need no copy.

    Attributes:
        direct: Tensors that their own layer writes interleaved, and where. Nobody else reads
            them, or everybody else can skip the gaps.
    """

    direct: dict[str, Slot]


def wishes_of(
    layers: Sequence[HardwareLayer],
    network_input: str,
    outputs: Sequence[str],
    part: Part,
    families: Mapping[int, int],
) -> Wishes:
    """Return the forms in which each tensor can be written at once.

    `families` are those of `nibblefit_maxim.memory.families`, by layer index.
    """
    slots: dict[str, set[Slot]] = {}
    plain: dict[str, list[HardwareLayer]] = {}
    for index, layer in enumerate(layers):
        for position, tensor in enumerate(layer.inputs):
            if index in families:
                slots.setdefault(tensor, set()).add((families[index], position))
            else:
                plain.setdefault(tensor, []).append(layer)
    direct = {}
    kept = {network_input, *outputs, *(layer.tensor for layer in layers if layer.wide)}
    for tensor, wanted in slots.items():
        readers = plain.get(tensor, [])
        can_skip = part.has_read_gap and all(_skips(reader) for reader in readers)
        if len(wanted) == 1 and tensor not in kept and (not readers or can_skip):
            direct[tensor] = next(iter(wanted))
    return Wishes(direct)


def is_interleaved(layer: HardwareLayer) -> bool:
    """Return whether a layer reads several tensors word by word in turn."""
    if len(layer.inputs) == 1:
        return False
    return layer.eltwise is not None or layer.in_channels > PROCESSORS


def input_shape(layers: Sequence[HardwareLayer], network_input: str) -> Shape:
    """Return the shape in which the network's input arrives, as its first reader sees it.

    Operands that are packed into the input lie word by word in turn, as if there were more rows.
    """
    readers = [layer for layer in layers if network_input in layer.inputs]
    alone = [layer for layer in readers if len(layer.inputs) == 1 or layer.eltwise is not None]
    if alone:
        shape, first = alone[0].input_shape, alone[0]
        if first.packed:
            return (shape[0], shape[1] * first.packed, *shape[2:])
        return shape
    made = {layer.tensor: layer.out_channels for layer in layers}
    first = readers[0]
    others = sum(made[name] for name in first.inputs if name != network_input)
    channels = (first.in_channels - others) // first.inputs.count(network_input)
    return (channels, *first.input_shape[1:])


def _skips(layer: HardwareLayer) -> bool:
    """Return whether a layer can read data with gaps: one source, one pass."""
    is_alone = len(layer.inputs) == 1 and layer.operands == 1
    return is_alone and passes(layer.in_channels) == 1 and not layer.flatten
