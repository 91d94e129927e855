"""Running a plan on the symbolic memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from nibblefit_maxim.layers import HardwareLayer
from nibblefit_maxim.memory.needs import spill_words
from nibblefit_maxim.memory.plan import LayerPlan, MemoryPlan
from nibblefit_maxim.parts import Part
from nibblefit_maxim.proving import violation as rules
from nibblefit_maxim.proving.addresses import Layout
from nibblefit_maxim.proving.maps import map_violations
from nibblefit_maxim.proving.memory import (
    NOTHING,
    Names,
    SymbolicMemory,
    shared_words,
    tensor_of,
    value_names,
)
from nibblefit_maxim.proving.parameters import parameter_violations
from nibblefit_maxim.proving.streams import stream_violations
from nibblefit_maxim.proving.violation import Violation

#: Index of the network's input among the tensors.
_INPUT = -1


def prove(layers: Sequence[HardwareLayer], plan: MemoryPlan, part: Part) -> list[Violation]:
    """Execute every layer's reads and writes; an empty list is the proof.

    It shows that each layer reads exactly the bytes it needs, that nothing still needed is
    overwritten, that outputs survive, and that weights and biases have their own places.

    Args:
        layers: The hardware layers, as many as `plan` has, in execution order.
        plan: Maps, offsets, gaps and sources.
        part: The device.
    """
    return _Proof(layers, plan, part).run()


class _Proof:
    """One run over the layers."""

    def __init__(self, layers: Sequence[HardwareLayer], plan: MemoryPlan, part: Part) -> None:
        self._layers = layers
        self._plan = plan
        self._part = part
        self._memory = SymbolicMemory(part)
        self._names: dict[int, Names] = {}
        self._streams = sum(placed.streaming for placed in plan.layers)
        self.found: list[Violation] = []

    def run(self) -> list[Violation]:
        """Return everything found."""
        self.found += map_violations(self._layers, self._plan)
        if self.found:
            return self.found  # with wrong maps no address means anything
        self._load_input()
        for index in range(len(self._layers)):
            self._step(index)
        self._check_outputs()
        self.found += stream_violations(self._layers, self._plan, self._part)
        self.found += parameter_violations(self._layers, self._plan, self._part)
        return self.found

    def _load_input(self) -> None:
        """Put the input where the first layer that reads it alone expects it."""
        readers = [i for i, placed in enumerate(self._plan.layers) if _INPUT in placed.sources]
        alone = [i for i in readers if len(self._plan.layers[i].sources) == 1]
        if not readers:
            self._add(0, rules.SHAPE, "no layer reads the network's input")
            return
        first = (alone or readers)[0]
        layer = self._layers[first]
        layouts = list(self._reads(first))
        count = layer.operands if len(self._plan.layers[first].sources) == 1 else 1
        channels = sum(layout.channels for layout in layouts[:1]) * count
        self._names[_INPUT] = value_names(0, channels, layer.input_pixels)
        if self._plan.layers[first].streaming:
            return
        parts = self._names[_INPUT].reshape(count, -1, layer.input_pixels)
        for layout, names in zip(layouts[:count], parts, strict=True):
            if self._is_inside(first, layout, "in_offset"):
                self._memory.write(layout, names)

    def _step(self, index: int) -> None:
        layer, placed = self._layers[index], self._plan.layers[index]
        written = _output(layer, placed)
        self._names[index] = value_names(index + 1, written.channels, written.pixels)
        needed = self._needed(index)
        if needed is not None and not placed.streaming:
            for layout, names in zip(self._reads(index), needed, strict=True):
                self._check_read(index, layout, names)
                if shared_words(layout, _touched(layer, written)):
                    self._add(
                        index, rules.OVERWRITES_INPUT,
                        f"writes to {written.offset:#x} while it still reads from there",
                        "out_offset",
                    )  # fmt: skip
        if index + 1 < self._streams:
            return  # the next layer takes it from a rolling buffer
        if self._is_inside(index, written, "out_offset"):
            self._memory.write(written, self._names[index])
            before, behind = (count * written.many for count in spill_words(layer))
            self._memory.spoil(written, before, behind)
            first = (written.offset // 4) - before * written.stride
            last = written.end() // 4 + behind * written.stride
            if first < 0 or 4 * last > self._part.instance_bytes:
                self._add(
                    index, rules.OUTSIDE,
                    f"dilated, it also writes {before} words in front of its output and {behind} "
                    "behind it, and they leave the data memory", "out_offset",
                )  # fmt: skip

    def _reads(self, index: int) -> Iterator[Layout]:
        """Yield the layout of each operand; of one if there is no element-wise operation."""
        layer, placed = self._layers[index], self._plan.layers[index]
        count = layer.operands
        for position in range(count):
            yield Layout(
                placed.processors, layer.in_channels, layer.input_pixels,
                placed.in_offset + 4 * position, count * (1 + placed.read_gap),
                is_chw=self._plan.is_chw and index == 0,
            )  # fmt: skip

    def _needed(self, index: int) -> list[Names] | None:
        """Return the value names that each operand must hold, (channels, pixels)."""
        layer, placed = self._layers[index], self._plan.layers[index]
        pixels = layer.input_pixels
        values = [self._names.get(source) for source in placed.sources]
        known = [names for names in values if names is not None]
        size = sum(names.size for names in known)
        is_split = layer.eltwise is not None and len(known) == 1
        wanted = layer.in_channels * pixels * (layer.operands if known else 1)
        if len(known) != len(values) or size != wanted:
            self._add(
                index, rules.SHAPE,
                f"{size} values arrive, {wanted} are read; cropping and other reshapes of "
                "channels are not modelled", "in_sequences",
            )  # fmt: skip
            return None
        shaped = [names.reshape(-1, pixels) for names in known]
        if is_split:
            return list(shaped[0].reshape(layer.operands, -1, pixels))
        return shaped if layer.eltwise is not None else [np.concatenate(shaped)]

    def _check_read(self, index: int, layout: Layout, names: Names) -> None:
        if not self._is_inside(index, layout, "in_offset"):
            return
        found = self._memory.read(layout)
        wrong = found != names
        if not wrong.any():
            return
        missing = int((found[wrong] == NOTHING).sum())
        total = int(wrong.sum())
        if missing:
            self._add(
                index, rules.UNWRITTEN,
                f"{missing} of {names.size} bytes read from {layout.offset:#x} on were never "
                "written", "in_offset",
            )  # fmt: skip
        if total > missing:
            holds = {tensor_of(int(name)) for name in np.unique(found[wrong]) if name != NOTHING}
            text = ", ".join(sorted(self._title(tensor) for tensor in holds))
            self._add(
                index, rules.STALE,
                f"{total - missing} of {names.size} bytes read from {layout.offset:#x} on hold "
                f"something else: {text}", "in_offset",
            )  # fmt: skip

    def _title(self, tensor: int | None) -> str:
        if tensor is None:
            return "filler of another layer's words"
        return "the input" if tensor == 0 else f"output of '{self._plan.layers[tensor - 1].name}'"

    def _check_outputs(self) -> None:
        last = len(self._layers) - 1
        read = {source for placed in self._plan.layers for source in placed.sources}
        for index, placed in enumerate(self._plan.layers):
            if not (placed.is_output or index == last or index not in read):
                continue
            layout = _output(self._layers[index], placed)
            names = self._names[index]
            expected = names[..., None] * 4 + np.arange(4) if layout.wide else names
            if layout.end() <= self._part.instance_bytes and (
                not np.array_equal(self._memory.read(layout), expected)
            ):
                self._add(index, rules.OUTPUT_LOST, "its output is overwritten before the end",
                          "out_offset")  # fmt: skip

    def _is_inside(self, index: int, layout: Layout, key: str) -> bool:
        end, size = layout.end(), self._part.instance_bytes
        if end <= size:
            return True
        self._add(index, rules.OUTSIDE, f"ends at byte {end} of a data memory of {size}", key)
        return False

    def _add(self, index: int, rule: str, message: str, key: str = "") -> None:
        name = self._plan.layers[index].name
        self.found.append(Violation(rule, index, name, message, key))


def _output(layer: HardwareLayer, placed: LayerPlan) -> Layout:
    return Layout(
        placed.output_processors, layer.out_channels, layer.output_pixels, placed.out_offset,
        1 + placed.write_gap, layer.wide,
    )  # fmt: skip


def _touched(layer: HardwareLayer, written: Layout) -> Layout:
    """Return a layer's output with what it writes in front of it and behind it."""
    before, behind = spill_words(layer)
    return replace(
        written,
        pixels=written.pixels + before + behind,
        offset=written.offset - 4 * before * written.many * written.stride,
    )
