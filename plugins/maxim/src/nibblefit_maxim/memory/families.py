"""Interleaved operands that share a block of memory one after the other.

Operands lie word by word in turn. A tensor that two layers combine with different partners needs
only one interleaved form if the partners take turns: the second is written where the first was,
once nobody reads that any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nibblefit_maxim.layers import Eltwise, HardwareLayer
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.wishes import is_interleaved

#: Operations whose operands may change places.
_COMMUTATIVE = frozenset({Eltwise.ADD, Eltwise.OR, Eltwise.XOR})


@dataclass(slots=True)
class _Family:
    """Who lies in each slot now, and the last layer that reads it."""

    number: int
    slots: list[str]
    busy: list[int] = field(default_factory=list)


class Families:
    """Layers that read interleaved tensors, sorted into families with a block each.

    Attributes:
        needs: The layers; commutative ones with their operands in the order of the slots.
        of: Family of each layer that reads interleaved tensors, by index.
    """

    def __init__(self, needs: Sequence[LayerNeeds], *, shares: bool) -> None:
        """Sort the layers; unless it `shares`, only layers with equal operands meet."""
        self.needs: list[LayerNeeds] = []
        self.of: dict[int, int] = {}
        self._shares = shares
        self._families: list[_Family] = []
        self._made: dict[str, int] = {}
        self._last: dict[str, int] = {}
        for index, need in enumerate(needs):
            self._made[need.layer.tensor] = index
            for name in need.layer.inputs:
                self._last[name] = index
        for index, need in enumerate(needs):
            if not is_interleaved(need.layer):
                self.needs.append(need)
                continue
            family, key = self._join(need.layer)
            self.of[index] = family.number
            self.needs.append(replace(need, layer=replace(need.layer, inputs=key)))

    def _join(self, layer: HardwareLayer) -> tuple[_Family, tuple[str, ...]]:
        """Return the family that takes a layer, and its operands in the order of the slots."""
        best: tuple[int, _Family, tuple[str, ...]] | None = None
        for family in self._families:
            key = _arranged(layer, family.slots)
            shared = sum(one == two for one, two in zip(key, family.slots, strict=False))
            is_same = list(key) == family.slots
            fits = is_same or (self._shares and shared and self._takes_turns(family, key))
            if fits and (best is None or shared > best[0]):
                best = shared, family, key
        if best is None:
            family = _Family(len(self._families), [""] * len(layer.inputs))
            self._families.append(family)
            best = 0, family, layer.inputs
        _, family, key = best
        family.slots = list(key)
        family.busy = [self._last[name] for name in key]
        return family, key

    def _takes_turns(self, family: _Family, key: tuple[str, ...]) -> bool:
        """Return whether all newcomers are written after the last read of what they replace."""
        return len(key) == len(family.slots) and all(
            new == old or self._made.get(new, -1) > busy
            for new, old, busy in zip(key, family.slots, family.busy, strict=True)
        )


def _arranged(layer: HardwareLayer, slots: Sequence[str]) -> tuple[str, ...]:
    """Return operands with those that lie in a slot already where they lie, if they may move."""
    inputs = layer.inputs
    if layer.eltwise not in _COMMUTATIVE or len(slots) != len(inputs):
        return inputs
    found = [name if name in inputs else "" for name in slots]
    waiting = list(inputs)
    for position, name in enumerate(found):
        if name in waiting:
            waiting.remove(name)
        else:
            found[position] = ""
    return tuple(name or waiting.pop(0) for name in found)
