"""The data memories word by word: every write is remembered, every read must find its value.

One cell per processor and word holds the number of the value that lies there: which tensor,
channel and position. Layers run in the order of the file with the addresses it states. A read that
finds anything but the value the network means is an error, and so is a write that meets what the
same layer reads. The vendor's compiler checks neither: it computes its known answer from the
network's logic, and the device then fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nibblefit_maxim.memory.processors import processors_per_pass
from nibblefit_maxim.parts import PROCESSORS, PROCESSORS_PER_INSTANCE, Part
from nibblefit_maxim.reading.entry import NetworkEntry
from nibblefit_maxim.reading.placed import Cells, Placed, by_index, output_map
from nibblefit_maxim.reading.problems import Problems

_Ints: TypeAlias = npt.NDArray[np.int64]
_INPUT = -1
_UNWRITTEN = -1
#: A lane of a written word that carries no value; minus the writer's index.
_FILLER = -10


@dataclass(slots=True)
class _Tensor:
    """A tensor in memory: first value number, positions per channel, and where it was put."""

    base: int
    pixels: int
    values: int
    cells: Cells | None = None


@dataclass(slots=True)
class DataFlow:
    """Runs the layers of one file on the memory model.

    Attributes:
        overlap: Overwriting one's own input is only doubtful, as with ``--overlap-data``.
    """

    network: NetworkEntry
    layers: dict[int, Placed]
    part: Part
    problems: Problems
    overlap: bool = False
    _memory: _Ints = field(init=False)
    _writer: _Ints = field(init=False)
    _tensors: dict[int, _Tensor] = field(init=False, default_factory=dict)
    _next: int = field(init=False, default=0)

    def run(self) -> None:
        """Execute every layer, recording each read and write that is wrong."""
        words = self.part.instance_bytes // 4
        self._memory = np.full((PROCESSORS, words), _UNWRITTEN, dtype=np.int64)
        self._writer = np.full((PROCESSORS // PROCESSORS_PER_INSTANCE, words), -2, dtype=np.int64)
        self._load_input()
        for index in range(len(self.network.layers)):
            item = self.layers.get(index)
            if item is None:
                continue
            read = [] if item.is_streaming else self._read(item)
            self._write(item, read)
        self._check_outputs()

    def _tensor(self, index: int, values: int, pixels: int) -> _Tensor:
        tensor = _Tensor(self._next, pixels, values)
        self._next += values
        self._tensors[index] = tensor
        return tensor

    def _fits(self, cells: Cells) -> bool:
        return cells.end <= self.part.instance_bytes

    def _load_input(self) -> None:
        """Put the network's input where its first reader looks for it."""
        first = next((i for i in self.layers.values() if _INPUT in i.sources), None)
        if first is None or first.is_streaming or not first.has_input_map:
            return
        packed = first.layer.eltwise is not None and len(first.sources) == 1
        operands = first.operands if packed else 1
        channels, pixels = first.layer.in_channels, first.layer.input_pixels
        tensor = self._tensor(_INPUT, operands * channels * pixels, pixels)
        for operand in range(operands):
            cells = first.read_cells(self.network, operand)
            if not self._fits(cells):
                del self._tensors[_INPUT]
                return
            numbers = _numbers(tensor, operand * channels, channels, pixels)
            self._store(*_whole_words(first, cells, numbers), _INPUT)
            tensor.cells = cells if operands == 1 else None

    def _store(self, cells: Cells, numbers: _Ints, index: int) -> None:
        instance = cells.processors // PROCESSORS_PER_INSTANCE
        self._writer[instance[:, None], cells.words] = index
        self._memory[cells.processors[:, None], cells.words] = numbers

    def _read(self, item: Placed) -> list[Cells]:
        """Check every word the layer reads; return where it looked."""
        if not item.has_input_map:
            return []
        found = []
        packed = item.layer.eltwise is not None and len(item.sources) == 1
        for operand in range(item.operands):
            cells = item.read_cells(self.network, operand)
            if not self._fits(cells):
                return []
            found.append(cells)
            if packed:
                known = self._tensors.get(item.sources[0])
                if known is not None and item.sources[0] == _INPUT:
                    start = operand * item.layer.in_channels
                    self._check_read(item, item.sources[0], cells, start)
            elif item.layer.eltwise is not None:
                self._check_read(item, item.sources[operand], cells, 0)
        if item.layer.eltwise is None:
            self._check_members(item, found[0])
        return found

    def _check_members(self, item: Placed, cells: Cells) -> None:
        """Check a plain read, or the members of a concatenation one after another."""
        start = 0
        for source in item.sources:
            tensor = self._tensors.get(source)
            if tensor is None:
                return
            count = tensor.values // tensor.pixels if len(item.sources) > 1 else (
                item.layer.in_channels
            )  # fmt: skip
            rows = slice(start, start + count)
            self._check_read(item, source, Cells(cells.processors[rows], cells.words[rows]), 0)
            start += count

    def _check_read(self, item: Placed, source: int, cells: Cells, channel: int) -> None:
        tensor = self._tensors.get(source)
        if tensor is None:
            return
        channels, pixels = cells.words.shape
        cells, expected = _whole_words(item, cells, _numbers(tensor, channel, channels, pixels))
        held = self._memory[cells.processors[:, None], cells.words]
        wrong = held != expected
        if not wrong.any():
            return
        row, column = (int(v) for v in np.argwhere(wrong)[0])
        word, processor = int(cells.words[row, column]), int(cells.processors[row])
        rule, reason = self._reason(item, source, cells, (row, column), int(held[row, column]))
        line = item.entry.line_of("in_offset")
        if rule == "overwrites-live":
            writer = int(self._writer[processor // PROCESSORS_PER_INSTANCE, word])
            line = self.network.layers[writer].line_of("out_offset")
        what = "the input" if source == _INPUT else f"the output of {self._title(source)}"
        self.problems.add(
            line,
            rule,
            f"{item.entry.title}: reads {what}, channel {row + channel}, position {column}, at "
            f"byte {4 * word:#x} of processor {processor}, but {reason} "
            f"({int(wrong.sum())} of {wrong.size} values wrong)",
        )

    def _reason(
        self, item: Placed, source: int, cells: Cells, where: tuple[int, int], held: int
    ) -> tuple[str, str]:
        row, column = where
        word, processor = int(cells.words[row, column]), int(cells.processors[row])
        writer = int(self._writer[processor // PROCESSORS_PER_INSTANCE, word])
        put = self._tensors[source].cells
        is_there = (
            put is not None
            and put.words.shape == cells.words.shape
            and int(put.words[row, column]) == word
            and int(put.processors[row]) == processor
        )
        if is_there and writer != source:
            return "overwrites-live", f"{self._title(writer)} has overwritten it"
        if put is not None and put.words.shape == cells.words.shape and not is_there:
            is_shifted = int(put.words[row, column]) == word
            if is_shifted and not np.array_equal(put.processors, cells.processors):
                return "output-map-reader", self._maps(item, source)
        if held == _UNWRITTEN or writer == -2:
            return "reads-unwritten", "nothing was written there" + self._put(put, where)
        owner = "part of the input" if writer == _INPUT else f"data of {self._title(writer)}"
        return "reads-other", f"other {owner} lies there{self._put(put, where)}"

    def _maps(self, item: Placed, source: int) -> str:
        written = (
            output_map(self.network, self.layers[source])
            if source != _INPUT
            else self.network.layers[0].processors
        )
        return f"it was written on map {written:#018x} and is read on {item.entry.processors:#018x}"

    def _put(self, put: Cells | None, where: tuple[int, int]) -> str:
        if put is None or where[0] >= put.words.shape[0] or where[1] >= put.words.shape[1]:
            return ""
        byte, processor = 4 * int(put.words[where]), int(put.processors[where[0]])
        return f"; it was put at byte {byte:#x} of processor {processor}"

    def _title(self, index: int) -> str:
        return "the input" if index == _INPUT else self.network.layers[index].title

    def _write(self, item: Placed, read: Sequence[Cells]) -> None:
        index = item.entry.index
        following = self.layers.get(index + 1)
        if following is not None and following.is_streaming:
            return  # goes into a rolling buffer; see nibblefit_maxim.reading.streaming
        written = output_map(self.network, item)
        if written.bit_count() != processors_per_pass(item.output_shape[0]):
            return
        cells = item.write_cells(self.network)
        if cells.end + (12 if item.layer.wide else 0) > self.part.instance_bytes:
            return
        touched = self._touched(item, cells)
        self._check_own_input(item, touched, read)
        instance, word = np.nonzero(touched)
        self._writer[touched] = index
        for lane in range(PROCESSORS_PER_INSTANCE):
            self._memory[instance * PROCESSORS_PER_INSTANCE + lane, word] = _FILLER - index
        channels, pixels = item.output_shape[0], prod(item.output_shape[1:])
        tensor = self._tensor(index, channels * pixels, pixels)
        tensor.cells = cells
        self._memory[cells.processors[:, None], cells.words] = _numbers(tensor, 0, channels, pixels)

    def _touched(self, item: Placed, cells: Cells) -> npt.NDArray[np.bool_]:
        touched = np.zeros(self._writer.shape, dtype=np.bool_)
        instance = (cells.processors // PROCESSORS_PER_INSTANCE)[:, None]
        gap = 1 + int(item.entry.get("write_gap", 0))
        for lane in range(4 if item.layer.wide else 1):
            touched[instance, np.minimum(cells.words + lane * gap, touched.shape[1] - 1)] = True
        return touched

    def _check_own_input(
        self, item: Placed, touched: npt.NDArray[np.bool_], read: Sequence[Cells]
    ) -> None:
        looked = np.zeros_like(touched)
        for cells in read:
            looked[(cells.processors // PROCESSORS_PER_INSTANCE)[:, None], cells.words] = True
        both = looked & touched
        if not both.any():
            return
        instance, word = (int(v) for v in np.argwhere(both)[0])
        self.problems.add(
            item.entry.line_of("out_offset"),
            "overlap-data" if self.overlap else "overwrites-input",
            f"{item.entry.title}: its output overwrites its own input, first at byte "
            f"{4 * word:#x} of memory {instance} ({int(both.sum())} words)",
        )

    def _check_outputs(self) -> None:
        """Check that every output of the network is still there at the end."""
        last = len(self.network.layers) - 1
        for index, item in self.layers.items():
            tensor = self._tensors.get(index)
            if (index != last and not item.entry.get("output")) or tensor is None:
                continue
            if tensor.cells is None or item.layer.wide:
                continue
            held = self._memory[tensor.cells.processors[:, None], tensor.cells.words]
            wrong = held != _numbers(tensor, 0, held.shape[0], held.shape[1])
            if wrong.any():
                row, column = (int(v) for v in np.argwhere(wrong)[0])
                place = int(tensor.cells.processors[row]) // PROCESSORS_PER_INSTANCE
                writer = int(self._writer[place, int(tensor.cells.words[row, column])])
                self.problems.add(
                    self.network.layers[writer].line_of("out_offset"),
                    "overwrites-live",
                    f"{self._title(writer)}: overwrites the network's output of "
                    f"{item.entry.title} ({int(wrong.sum())} of {wrong.size} values)",
                )


def _numbers(tensor: _Tensor, channel: int, channels: int, pixels: int) -> _Ints:
    """Return the numbers of a tensor's values, channel by channel."""
    start = tensor.base + channel * pixels
    return np.arange(start, start + channels * pixels, dtype=np.int64).reshape(channels, pixels)


def _whole_words(item: Placed, cells: Cells, numbers: _Ints) -> tuple[Cells, _Ints]:
    """Return one value per word: CHW data has four positions of one channel in each."""
    if not item.is_chw:
        return cells, numbers
    return Cells(cells.processors, cells.words[:, ::4]), numbers[:, ::4]


def check_dataflow(
    network: NetworkEntry,
    placed: Sequence[Placed],
    part: Part,
    problems: Problems,
    *,
    overlap: bool = False,
) -> None:
    """Record every word that is read where it does not lie, or overwritten while needed."""
    DataFlow(network, by_index(placed), part, problems, overlap).run()
