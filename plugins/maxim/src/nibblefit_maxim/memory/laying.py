"""From maps, offsets and quadrants to the finished plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nibblefit_maxim.memory.arrangement import Arrangement
from nibblefit_maxim.memory.biases import BiasPlan
from nibblefit_maxim.memory.buffers import rolling
from nibblefit_maxim.memory.cycles import layer_cycles
from nibblefit_maxim.memory.feed import Feed
from nibblefit_maxim.memory.maps import Maps
from nibblefit_maxim.memory.needs import DATA_WORD_BYTES
from nibblefit_maxim.memory.plan import LayerPlan, MemoryPlan
from nibblefit_maxim.parts import Part


@dataclass(frozen=True, slots=True)
class Decisions:
    """Everything that was decided about a network.

    Attributes:
        arrangement: The layers.
        maps: Maps of its copies, and weight columns.
        feed: How the input gets in.
        part: The device.
        offsets: Offset of each block.
        biases: Quadrants.
        overlaps: See `MemoryPlan`.
    """

    arrangement: Arrangement
    maps: Maps
    feed: Feed
    part: Part
    offsets: Mapping[int, int]
    biases: BiasPlan
    overlaps: bool

    def plan(self) -> MemoryPlan:
        """Return the finished plan."""
        steps = self.arrangement.steps
        return MemoryPlan(
            self.part,
            tuple(self._layer(index) for index in range(len(steps))),
            self.feed.is_chw,
            self.maps.used,
            self.biases.used,
            tuple(step.need for step in steps),
            self.overlaps,
        )

    def _start(self, number: int) -> int:
        copy = self.arrangement.copies[number]
        return self.offsets[copy.block] + copy.slot * DATA_WORD_BYTES

    def _layer(self, index: int) -> LayerPlan:
        arrangement, feed, part = self.arrangement, self.feed, self.part
        step = arrangement.steps[index]
        need = feed.need(index, step.need)
        written = self.maps.copies[step.writes]
        streams = index < feed.streaming
        groups = self.biases.groups[index]
        is_last = index + 1 == len(arrangement.steps)
        return LayerPlan(
            name=need.layer.name,
            processors=self.maps.inputs[index],
            output_processors=written,
            in_offset=min(self._start(copy) for copy in step.reads),
            out_offset=self._start(step.writes),
            input_bytes=_input_bytes(index, arrangement, feed, part),
            output_bytes=_output_bytes(index, arrangement, feed, part),
            kernel_column=self.maps.columns[index],
            kernel_words=need.kernel_words,
            bias_group=groups[0] if groups else None,
            bias_bytes=self.biases.sizes[index] if groups else 0,
            sources=tuple(arrangement.writer(copy) for copy in step.reads),
            write_gap=arrangement.copies[step.writes].gap,
            read_gap=step.read_gap,
            is_output=step.writes in arrangement.outputs and not is_last,
            streaming=streams,
            cycles=layer_cycles(need, written, streaming=streams),
            origin=step.origin,
            bias_groups=groups,
        )


def _input_bytes(index: int, arrangement: Arrangement, feed: Feed, part: Part) -> int:
    """Return what a layer's input occupies in each instance: a rolling buffer when streaming."""
    step = arrangement.steps[index]
    if index < feed.streaming:
        needs = [feed.need(i, step.need) for i, step in enumerate(arrangement.steps)]
        return rolling(needs, index, part, is_chw=feed.is_chw).words * DATA_WORD_BYTES
    copies = [arrangement.copies[copy] for copy in step.reads]
    if feed.is_chw and index == 0:
        return -(-copies[0].pixels // DATA_WORD_BYTES) * DATA_WORD_BYTES
    words = max(copy.words + copy.slot for copy in copies) - min(copy.slot for copy in copies)
    return words * DATA_WORD_BYTES


def _output_bytes(index: int, arrangement: Arrangement, feed: Feed, part: Part) -> int:
    """Return what a layer's output occupies in each instance."""
    if index + 1 < feed.streaming:
        return _input_bytes(index + 1, arrangement, feed, part)
    return arrangement.copies[arrangement.steps[index].writes].words * DATA_WORD_BYTES
