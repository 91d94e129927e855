"""Blocks of data memory: how much, when, in which instances."""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit_maxim.memory.arrangement import Arrangement
from nibblefit_maxim.memory.buffers import buffer_bytes
from nibblefit_maxim.memory.feed import Feed
from nibblefit_maxim.memory.maps import Maps
from nibblefit_maxim.memory.needs import DATA_WORD_BYTES, LayerNeeds, spill_words
from nibblefit_maxim.memory.processors import instances
from nibblefit_maxim.parts import Part


@dataclass(frozen=True, slots=True)
class Block:
    """Memory that is kept at one offset in some instances for some steps.

    Attributes:
        name: Tensor that lies there, the first one where several do.
        number: Number of the block; copies name it.
        size: Bytes per instance.
        first, last: Steps in which it is alive, both included.
        instances: Where.
        lead: Bytes of them in front of the offset, where a layer writes what means nothing.
    """

    name: str
    number: int
    size: int
    first: int
    last: int
    instances: frozenset[int]
    lead: int = 0

    def meets(self, other: Block, *, anywhere: bool) -> bool:
        """Return whether two blocks are alive together, in the same instance unless `anywhere`."""
        together = self.first <= other.last and other.first <= self.last
        return together and (anywhere or bool(self.instances & other.instances))


@dataclass(slots=True)
class _Growing:
    """A block while its copies are gathered."""

    name: str
    size: int
    first: int
    last: int
    instances: frozenset[int]
    lead: int

    def add(self, other: _Growing) -> None:
        """Grow by another copy that lies in the same block."""
        behind = max(self.size - self.lead, other.size - other.lead)
        self.lead = max(self.lead, other.lead)
        self.size = self.lead + behind
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)
        self.instances |= other.instances


def blocks_of(
    arrangement: Arrangement, maps: Maps, feed: Feed, part: Part, *, guarded: bool
) -> list[Block]:
    """Return all blocks in the order of their first use.

    A streaming layer keeps only a rolling buffer of its input, and all streaming layers run
    together: their buffers, and the output of the last one, are alive from the first on.

    Args:
        arrangement: The layers.
        maps: Maps of its copies.
        feed: How the input gets in.
        part: The device.
        guarded: What a layer marked as an output reads is kept to the end, because the compiler's
            own check asks for it.
    """
    lives = arrangement.lives(guarded=guarded)
    needs = [feed.need(i, step.need) for i, step in enumerate(arrangement.steps)]
    growing: dict[int, _Growing] = {}
    for copy in arrangement.copies:
        writer = arrangement.writer(copy.number)
        first, last = lives[copy.number]
        size = (copy.words + copy.slot) * DATA_WORD_BYTES
        if writer + 1 < feed.streaming:
            last = max(last, feed.streaming - 1)
            size = buffer_bytes(needs, writer + 1, part, is_chw=feed.is_chw)
        elif 0 < feed.streaming == writer + 1:
            # The compiler holds what the last of them writes against its buffer, end included.
            size = max(size + DATA_WORD_BYTES, buffer_bytes(needs, writer, part, is_chw=False))
        elif copy.number == 0 and feed.is_chw:
            size = -(-copy.pixels // DATA_WORD_BYTES) * DATA_WORD_BYTES
        first = -1 if writer < feed.streaming else first
        before, behind = _spilled(needs[writer]) if writer >= 0 else (0, 0)
        where = instances(maps.copies[copy.number])
        size += (before + behind) * (1 + copy.gap)
        one = _Growing(copy.tensor, size, first, last, where, before * (1 + copy.gap))
        if copy.block in growing:
            growing[copy.block].add(one)
        else:
            growing[copy.block] = one
    found = [
        Block(g.name, number, g.size, g.first, g.last, g.instances, g.lead)
        for number, g in growing.items()
    ]
    return sorted(found, key=lambda block: (block.first, block.number))


def _spilled(need: LayerNeeds) -> tuple[int, int]:
    """Return bytes written in front of an output and behind it, without gaps."""
    before, behind = spill_words(need.layer)
    each = DATA_WORD_BYTES * need.out_passes
    return before * each, behind * each
