"""From the network's layers to an arrangement: forms of tensors, and the layers they cost.

Rules of the hardware behind this (ai8x-synthesis commit ab4f4c0, README, "Data Memory" and
"Element-Wise Operations"): k operands lie interleaved word by word on the same processors; a
concatenation of up to 64 channels lies side by side at one offset; one of more channels is
interleaved, one pass per member.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from nibblefit_maxim.layers import HardwareLayer, Operator
from nibblefit_maxim.memory.arrangement import Arrangement, Copy, Origin, Step
from nibblefit_maxim.memory.families import Families
from nibblefit_maxim.memory.inserted import inserted_layer
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.processors import passes, processors_per_pass
from nibblefit_maxim.memory.wishes import input_shape, wishes_of
from nibblefit_maxim.parts import PROCESSORS_PER_INSTANCE, Part


@dataclass(frozen=True, slots=True)
class _Insertion:
    """A layer to insert: in front of the network's layer `before`, writing copy `writes`."""

    before: int
    origin: Origin
    reads: int
    writes: int


def arrange(
    needs: Sequence[LayerNeeds],
    network_input: str,
    outputs: Sequence[str],
    part: Part,
    *,
    late: bool = False,
    shares: bool = True,
) -> Arrangement:
    """Return the layers with every inserted one.

    Args:
        needs: A legal network in execution order; see `shape_shortages`.
        network_input: Tensor that is loaded from outside.
        outputs: Tensors that must survive.
        part: The device.
        late: Inserted layers stand right before their reader instead of behind the producer.
        shares: Interleaved operands take turns in one block where they can; see `Families`.
    """
    families = Families(needs, shares=shares)
    return _Arranger(families, network_input, outputs, part, late=late).arrange()


class _Arranger:
    """One arrangement in the making; copies of all tensors first, then layer by layer."""

    def __init__(
        self,
        families: Families,
        network_input: str,
        outputs: Sequence[str],
        part: Part,
        *,
        late: bool,
    ) -> None:
        needs = families.needs
        self._needs = needs
        self._families = families.of
        self._part = part
        self._late = late
        layers = [need.layer for need in needs]
        self._wishes = wishes_of(layers, network_input, outputs, part, families.of)
        self._made = Arrangement()
        self._base: dict[str, Copy] = {}
        self._producer: dict[str, int] = {network_input: -1}
        self._blocks: dict[int, int] = {}
        self._second: dict[tuple[int, int, str], int] = {}
        self._insertions: list[_Insertion] = []
        self._shapes = {network_input: input_shape(layers, network_input)}
        self._add_base(network_input)
        for index, need in enumerate(needs):
            self._producer[need.layer.tensor] = index
            self._shapes[need.layer.tensor] = need.layer.output_shape
            self._add_base(need.layer.tensor, wide=need.layer.wide)
        self._made.outputs = [self._base[name].number for name in outputs]

    def _add_base(self, tensor: str, *, wide: bool = False) -> None:
        channels, *spatial = self._shapes[tensor]
        self._base[tensor] = self._made.new_copy(tensor, channels, prod(spatial), wide)

    def arrange(self) -> Arrangement:
        """Return the finished arrangement."""
        reads = []
        for index, need in enumerate(self._needs):
            layer = need.layer
            if index in self._families:
                found = self._interleaved(index)
            elif len(layer.inputs) == 1:
                found = (self._base[layer.inputs[0]].number,)
            else:
                found = self._side_by_side(index)
            reads.append(found)
            self._join_output(layer, found)
        self._build(reads)
        return self._made

    def _join_output(self, layer: HardwareLayer, reads: tuple[int, ...]) -> None:
        """Bind the output to the input's processors where the hardware asks for it."""
        stays = layer.operator is Operator.PASSTHROUGH
        if stays or layer.groups > 1:
            self._made.joints.join(reads[0], self._base[layer.tensor].number, 0)

    def _interleaved(self, index: int) -> tuple[int, ...]:
        """Return copies that lie word by word in turn, on the same processors."""
        key, family = self._needs[index].layer.inputs, self._families[index]
        found: list[int] = []
        for slot, tensor in enumerate(key):
            if (family, slot, tensor) in self._second:
                found.append(self._second[family, slot, tensor])
                continue
            base = self._base[tensor]
            anchor = self._blocks.get(family)
            is_direct = (family, slot) == self._wishes.direct.get(tensor)
            if is_direct and self._can_sit(anchor, base.number):
                copy = base
            else:
                copy = self._insert(base, index, anchor)
            # A block has the number of the copy that founded it.
            block = self._blocks.setdefault(family, copy.number)
            copy.block, copy.gap, copy.slot = block, len(key) - 1, slot
            self._second[family, slot, tensor] = copy.number
            found.append(copy.number)
        return tuple(found)

    def _can_sit(self, anchor: int | None, copy: int) -> bool:
        return anchor is None or self._made.joints.join(anchor, copy, 0)

    def _insert(self, base: Copy, reader: int, anchor: int | None) -> Copy:
        """Add a copy written by an inserted layer: a passthrough if it may stay in its place."""
        copy = self._made.new_copy(base.tensor, base.channels, base.pixels)
        joints = self._made.joints
        stays = anchor is None or joints.fits([base.number, copy.number, anchor], [0, 0, 0])
        if stays:
            joints.join(base.number, copy.number, 0)
        if anchor is not None:
            joints.join(anchor, copy.number, 0)
        origin = Origin.GAP if stays else Origin.MOVE
        producer = self._producer[base.tensor]
        before = reader if self._late or producer < 0 else producer + 1
        self._insertions.append(_Insertion(before, origin, base.number, copy.number))
        return copy

    def _side_by_side(self, index: int) -> tuple[int, ...]:
        """Return copies on ascending processors in one block."""
        bases = [self._base[tensor] for tensor in self._needs[index].layer.inputs]
        joints, blocks = self._made.joints, [copy.block for copy in self._made.copies]
        insertions = list(self._insertions)
        self._made.joints = joints.copy()
        found = self._beside(index, bases, bases[0])
        if found is None:
            # Around the first member others are in the way: everything moves to a new place.
            self._made.joints, self._insertions = joints, insertions
            for copy, block in zip(self._made.copies, blocks, strict=False):
                copy.block = block
            self._made.drop_copies(len(blocks))
            found = self._beside(index, bases, self._moved(bases[0], index))
        return found or ()

    def _beside(self, index: int, bases: Sequence[Copy], first: Copy) -> tuple[int, ...] | None:
        """Return the members' copies around `first`; None if others are in the way."""
        found = [first.number]
        step = PROCESSORS_PER_INSTANCE
        distance = -(-first.processors // step) * step
        for base in bases[1:]:
            if base.number not in found and self._joins_block(first.number, base, distance):
                found.append(base.number)
            else:
                copy = self._moved_beside(base, index, first, distance)
                if copy is None:
                    return None
                found.append(copy.number)
            distance += -(-base.processors // step) * step
        return tuple(found)

    def _moved_beside(self, base: Copy, index: int, first: Copy, distance: int) -> Copy | None:
        """Return a copy of `base` at a distance from `first`, one that is there if possible."""
        joints = self._made.joints
        origin = joints.seat(first.number)
        low = origin.distance + distance
        for other in self._made.copies:
            seat = joints.seat(other.number)
            if other.block != first.block or seat.group != origin.group:
                continue
            if other.tensor == base.tensor and seat.distance == low and other.gap == 0:
                return other
            if seat.distance < low + base.processors and low < seat.distance + seat.width:
                return None
        copy = self._made.new_copy(base.tensor, base.channels, base.pixels)
        if not joints.join(first.number, copy.number, distance):
            return None
        copy.block = first.block
        self._add_move(base, copy, index)
        return copy

    def _moved(self, base: Copy, index: int) -> Copy:
        """Return a new copy of `base` in a block of its own."""
        copy = self._made.new_copy(base.tensor, base.channels, base.pixels)
        self._add_move(base, copy, index)
        return copy

    def _add_move(self, base: Copy, copy: Copy, reader: int) -> None:
        producer = self._producer[base.tensor]
        before = reader if self._late or producer < 0 else producer + 1
        self._insertions.append(_Insertion(before, Origin.MOVE, base.number, copy.number))

    def _joins_block(self, anchor: int, base: Copy, distance: int) -> bool:
        """Merge the blocks of two copies if no two of their members share processors."""
        copies, joints = self._made.copies, self._made.joints
        one, two = copies[anchor].block, base.block
        if one == two:
            return joints.fits([anchor, base.number], [0, distance])
        if base.gap or copies[anchor].gap:
            return False
        trial = joints.copy()
        if not trial.join(anchor, base.number, distance):
            return False
        members = [copy for copy in copies if copy.block in (one, two)]
        seats = sorted((trial.seat(copy.number) for copy in members), key=lambda s: s.distance)
        if any(a.distance + a.width > b.distance for a, b in pairwise(seats)):
            return False
        joints.join(anchor, base.number, distance)
        for copy in members:
            copy.block = one
        return True

    def _build(self, reads: Sequence[tuple[int, ...]]) -> None:
        """Put network layers and inserted ones in order."""
        taken = {need.layer.name for need in self._needs} | set(self._base)
        for index, need in enumerate(self._needs):
            for insertion in self._insertions:
                if insertion.before == index:
                    self._made.steps.append(self._inserted_step(insertion, taken))
            copies = self._made.copies
            gap = copies[reads[index][0]].gap if len(need.layer.inputs) == 1 else 0
            writes = self._base[need.layer.tensor].number
            self._made.steps.append(Step(need, Origin.NETWORK, reads[index], writes, gap))

    def _inserted_step(self, insertion: _Insertion, taken: set[str]) -> Step:
        base = self._made.copies[insertion.reads]
        layer = inserted_layer(insertion.origin, base.tensor, self._shapes[base.tensor], taken)
        taken.add(layer.name)
        return Step(LayerNeeds(layer), insertion.origin, (base.number,), insertion.writes, base.gap)


def interleaves_well(channels: Sequence[int]) -> bool:
    """Return whether a concatenation of more than 64 channels can lie interleaved.

    Each member must fill one pass as the reader counts passes; the last may be shorter.
    """
    total = sum(channels)
    each = processors_per_pass(total)
    return (
        passes(total) == len(channels)
        and all(count == each for count in channels[:-1])
        and channels[-1] <= each
    )
