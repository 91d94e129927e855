"""The layers as the accelerator will run them, with what is read and written in which form.

A *copy* is a tensor as it lies in data memory. Most tensors have one. A tensor that an element-wise
layer reads interleaved with others, word by word, and that somebody else reads as it is, has two;
the second is written by an inserted layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from nibblefit_maxim.memory.joints import Joints
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.processors import passes, processors_per_pass


class Origin(StrEnum):
    """Why a layer is there."""

    NETWORK = "network"
    #: A layer without convolution that writes its input once more, with gaps between the words.
    GAP = "gap"
    #: A 1×1 convolution with unit weights that also puts its input on other processors.
    MOVE = "move"
    #: A combination of operands that was taken out of the layer behind it.
    SUM = "sum"


@dataclass(slots=True)
class Copy:
    """One tensor in data memory.

    Attributes:
        number: Its number, also in `Joints`.
        tensor: The network's tensor.
        channels, pixels: Its size.
        wide: 32 bits per value.
        block: Number of the block of memory; interleaved and concatenated tensors share one.
        gap: Words of others after each of its words.
        slot: Words of others before its first.
    """

    number: int
    tensor: str
    channels: int
    pixels: int
    wide: bool
    block: int
    gap: int = 0
    slot: int = 0

    @property
    def processors(self) -> int:
        """Processors it lies on."""
        return processors_per_pass(self.channels)

    @property
    def words(self) -> int:
        """Words from its first to its last, in each instance, gaps included."""
        count = self.pixels * passes(self.channels) * (4 if self.wide else 1)
        return (count - 1) * (1 + self.gap) + 1


@dataclass(slots=True)
class Step:
    """One hardware layer.

    Attributes:
        need: The layer.
        origin: Why it is there.
        reads: Numbers of the copies it reads: one, the operands, or the members.
        writes: Number of the copy it writes.
        read_gap: Words it skips after each word it reads (MAX78002).
    """

    need: LayerNeeds
    origin: Origin
    reads: tuple[int, ...]
    writes: int
    read_gap: int = 0


@dataclass(slots=True)
class Arrangement:
    """All layers in order of execution, and all copies.

    Attributes:
        steps: The layers.
        copies: The copies by number; copy 0 is the network's input.
        joints: Distances between copies on the processors.
        outputs: Copies that must survive to the end.
    """

    steps: list[Step] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    joints: Joints = field(default_factory=Joints)
    outputs: list[int] = field(default_factory=list)

    def new_copy(
        self, tensor: str, channels: int, pixels: int, wide: bool = False, block: int = -1
    ) -> Copy:
        """Add a copy in a block of its own, or in `block`."""
        number = self.joints.add(processors_per_pass(channels))
        copy = Copy(number, tensor, channels, pixels, wide, number if block < 0 else block)
        self.copies.append(copy)
        return copy

    def drop_copies(self, count: int) -> None:
        """Forget all copies but the first `count`; their joints must be forgotten as well."""
        del self.copies[count:]

    def writer(self, copy: int) -> int:
        """Return the index of the step that writes a copy; −1 for the network's input."""
        return next((i for i, step in enumerate(self.steps) if step.writes == copy), -1)

    def lives(self, *, guarded: bool = False) -> list[tuple[int, int]]:
        """Return first and last step of each copy; inputs begin at −1, outputs end behind all.

        With `guarded`, what the layers of outputs read ends behind all as well.
        """
        lives = [(-1, -1)] * len(self.copies)
        kept = set(self.outputs)
        for index, step in enumerate(self.steps):
            lives[step.writes] = (index, index)
            for copy in step.reads:
                lives[copy] = (lives[copy][0], index)
            if guarded and step.writes in self.outputs and index + 1 < len(self.steps):
                kept.update(step.reads)
        for copy in kept:
            lives[copy] = (lives[copy][0], len(self.steps))
        return lives
