"""The data memories word by word: every write is remembered, every read must find its value.

One cell per processor and word holds the number of the value that lies there: which tensor,
channel and position. Layers run in the order of the file with the addresses it states. A read that
finds anything but the value the network means is an error, and so is a write that meets what the
same layer reads. The vendor's compiler checks neither: it computes its known answer from the
network's logic, and the device then fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nibblefit.ir.graph import Shape
from nibblefit_maxim.memory.processors import processors_per_pass
from nibblefit_maxim.parts import PROCESSORS, PROCESSORS_PER_INSTANCE, Part
from nibblefit_maxim.reading.entry import NetworkEntry
from nibblefit_maxim.reading.placed import Cells, Placed, buffer_cells, by_index, output_map
from nibblefit_maxim.reading.problems import Problems
from nibblefit_maxim.reading.remembered import Portion, Remembered
from nibblefit_maxim.reading.views import part_of

_Ints: TypeAlias = npt.NDArray[np.int64]
_INPUT = -1
_BUFFER = -2
_UNWRITTEN = -1
#: Writer of words that nobody has written.
_NOBODY = -9
#: A lane of a written word that carries no value; minus the writer's index.
_FILLER = -10


@dataclass(slots=True)
class DataFlow:
    """Runs the layers of one file on the memory model.

    Attributes:
        overlap: Overwriting one's own input is only doubtful, as with ``--overlap-data``.
    """

    network: NetworkEntry
    layers: dict[int, Placed]
    input_shape: Shape
    part: Part
    problems: Problems
    overlap: bool = False
    _memory: _Ints = field(init=False)
    _writer: _Ints = field(init=False)
    _tensors: dict[int, Remembered] = field(init=False, default_factory=dict)
    _next: int = field(init=False, default=0)

    def run(self) -> None:
        """Execute every layer, recording each read and write that is wrong."""
        words = self.part.instance_bytes // 4
        self._memory = np.full((PROCESSORS, words), _UNWRITTEN, dtype=np.int64)
        self._writer = np.full(
            (PROCESSORS // PROCESSORS_PER_INSTANCE, words), _NOBODY, dtype=np.int64
        )
        self._load_buffer()
        self._load_input()
        for index in range(len(self.network.layers)):
            item = self.layers.get(index)
            if item is None:
                continue
            read = [] if item.is_streaming else self._read(item)
            self._write(item, read)
        self._check_outputs()

    def _tensor(self, index: int, shape: Shape) -> Remembered:
        """Give numbers to a new tensor's values."""
        channels, pixels = shape[0], prod(shape[1:])
        numbers = np.arange(self._next, self._next + channels * pixels, dtype=np.int64)
        self._next += channels * pixels
        self._tensors[index] = Remembered(numbers.reshape(channels, pixels), shape)
        return self._tensors[index]

    def _fits(self, item: Placed, operand: int) -> bool:
        """Return whether what an operand reads lies inside, without listing its addresses."""
        return item.read_end(self.network, operand) <= self.part.instance_bytes

    def _load_buffer(self) -> None:
        """Put the rolling buffer where it is declared."""
        buffer = self.network.buffer
        if buffer is None:
            return
        if buffer.processors.bit_count() != processors_per_pass(buffer.channels):
            self.problems.add(
                buffer.line, "data-buffer",
                f"the data buffer has {buffer.channels} channels on "
                f"{buffer.processors.bit_count()} processors",
            )  # fmt: skip
            return
        cells = buffer_cells(buffer)
        if cells.end > self.part.instance_bytes:
            self.problems.add(
                buffer.line, "data-buffer",
                f"the data buffer ends at byte {cells.end} of {self.part.instance_bytes}",
            )  # fmt: skip
            return
        tensor = self._tensor(_BUFFER, (buffer.channels, buffer.length))
        tensor.cells = cells
        self._store(cells, tensor.numbers, _BUFFER)

    def _load_input(self) -> None:
        """Put the network's input where its first reader looks for it."""
        first = next((i for i in self.layers.values() if _INPUT in i.sources), None)
        if first is None or first.is_streaming or not first.has_input_map:
            return
        packed = first.layer.eltwise is not None and len(first.sources) == 1
        operands = first.operands if packed else 1
        if packed:
            shape = (operands * first.layer.in_channels, *first.layer.input_shape[1:])
        elif len(first.sources) == 1 or first.layer.eltwise is not None:
            shape = self.input_shape
            first = replace(first, layer=replace(first.layer, input_shape=shape))
        else:
            shape = first.layer.input_shape
        if not first.has_input_map:
            return
        if not self._fits(first, operands - 1):
            return
        tensor = self._tensor(_INPUT, shape)
        for operand, numbers in enumerate(np.split(tensor.numbers, operands)):
            cells = first.read_cells(self.network, operand)
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
            if not self._fits(item, operand):
                return []
            cells = item.read_cells(self.network, operand)
            found.append(cells)
            if packed:
                self._check_packed(item, operand, cells)
            elif item.layer.eltwise is not None:
                self._check_read(item, item.sources[operand], cells, item.layer.in_channels)
        if item.layer.eltwise is None:
            self._check_members(item, found[0])
        return found

    def _check_packed(self, item: Placed, operand: int, cells: Cells) -> None:
        """Check one of several operands that lie in one tensor."""
        source, channels = item.sources[0], item.layer.in_channels
        if source != _INPUT:
            if operand == 0:
                self.problems.add(
                    item.entry.line_of("op"), "split-operands",
                    f"{item.entry.title}: its {item.operands} operands are one tensor, "
                    f"{self._name(source)}",
                )  # fmt: skip
        elif source in self._tensors:
            rows = slice(operand * channels, (operand + 1) * channels)
            self._compare(item, source, cells, Portion(self._tensors[source], rows, slice(None)))

    def _check_members(self, item: Placed, cells: Cells) -> None:
        """Check a plain read, or the members of a concatenation one after another."""
        start = 0
        for source in item.sources:
            tensor = self._tensors.get(source)
            if tensor is None:
                return
            alone = len(item.sources) == 1
            count = item.layer.in_channels if alone else tensor.shape[0]
            rows = slice(start, start + count)
            self._check_read(item, source, Cells(cells.processors[rows], cells.words[rows]), count)
            start += count

    def _check_read(self, item: Placed, source: int, cells: Cells, channels: int) -> None:
        """Check that one source's values lie where they are read."""
        tensor = self._tensors.get(source)
        if tensor is None:
            return
        skip = int(item.entry.get("in_channel_skip", 0))
        positions = part_of(item.entry, tensor.shape[0]).positions(tensor.shape)
        if source == _BUFFER and "buffer_shift" in item.entry.given:
            positions = slice(int(item.entry.get("buffer_shift")), None)
        part = Portion(tensor, slice(skip, skip + channels), positions)
        self._compare(item, source, cells, part)

    def _compare(self, item: Placed, source: int, cells: Cells, part: Portion) -> None:
        """Record the first value that does not lie where it is read."""
        cells, expected = _whole_words(item, cells, part.numbers)
        held = self._memory[cells.processors[:, None], cells.words]
        wrong = held != expected
        if not wrong.any():
            return
        row, column = (int(v) for v in np.argwhere(wrong)[0])
        word, processor = int(cells.words[row, column]), int(cells.processors[row])
        rule, reason = self._reason(item, source, cells, part, (row, column))
        line = item.entry.line_of("in_offset")
        if rule == "overwrites-live":
            line = self._line_of_writer(processor, word)
        self.problems.add(
            line,
            rule,
            f"{item.entry.title}: reads {self._name(source)}, channel {row + part.first}, position "
            f"{column}, at byte {4 * word:#x} of processor {processor}, but {reason} "
            f"({int(wrong.sum())} of {wrong.size} values wrong)",
        )

    def _line_of_writer(self, processor: int, word: int) -> int:
        writer = int(self._writer[processor // PROCESSORS_PER_INSTANCE, word])
        return self.network.layers[writer].line_of("out_offset")

    def _name(self, source: int) -> str:
        """Return how messages call what a layer reads."""
        special = {_INPUT: "the input", _BUFFER: "the data buffer"}
        return special.get(source) or f"the output of {self._title(source)}"

    def _reason(
        self, item: Placed, source: int, cells: Cells, part: Portion, where: tuple[int, int]
    ) -> tuple[str, str]:
        row, column = where
        word, processor = int(cells.words[row, column]), int(cells.processors[row])
        writer = int(self._writer[processor // PROCESSORS_PER_INSTANCE, word])
        held = int(self._memory[processor, word])
        put = part.cells
        is_there = (
            put is not None
            and put.words.shape == cells.words.shape
            and int(put.words[row, column]) == word
            and int(put.processors[row]) == processor
        )
        if is_there and writer != source and writer >= 0:
            return "overwrites-live", f"{self._title(writer)} has overwritten it"
        if put is not None and put.words.shape == cells.words.shape and not is_there:
            is_shifted = int(put.words[row, column]) == word
            if is_shifted and not np.array_equal(put.processors, cells.processors):
                return "output-map-reader", self._maps(item, source)
        if held == _UNWRITTEN or writer == _NOBODY:
            return "reads-unwritten", "nothing was written there" + self._put(put, where)
        owner = {_INPUT: "part of the input", _BUFFER: "part of the data buffer"}.get(
            writer, f"data of {self._title(writer)}"
        )
        return "reads-other", f"other {owner} lies there{self._put(put, where)}"

    def _maps(self, item: Placed, source: int) -> str:
        if source == _BUFFER and self.network.buffer is not None:
            written = self.network.buffer.processors
        elif source == _INPUT:
            written = self.network.layers[0].processors
        else:
            written = output_map(self.network, self.layers[source])
        return f"it was written on map {written:#018x} and is read on {item.entry.processors:#018x}"

    def _put(self, put: Cells | None, where: tuple[int, int]) -> str:
        if put is None or where[0] >= put.words.shape[0] or where[1] >= put.words.shape[1]:
            return ""
        byte, processor = 4 * int(put.words[where]), int(put.processors[where[0]])
        return f"; it was put at byte {byte:#x} of processor {processor}"

    def _title(self, index: int) -> str:
        special = {_INPUT: "the input", _BUFFER: "the data buffer"}
        return special.get(index) or self.network.layers[index].title

    def _write(self, item: Placed, read: Sequence[Cells]) -> None:
        index = item.entry.index
        following = self.layers.get(index + 1)
        if following is not None and following.is_streaming:
            return  # goes into a rolling buffer; see nibblefit_maxim.reading.streaming
        written = output_map(self.network, item)
        if written.bit_count() != processors_per_pass(item.output_shape[0]):
            return
        end = item.write_end(self.network)
        if end + (12 if item.layer.wide else 0) > self.part.instance_bytes:
            return
        cells = item.write_cells(self.network)
        touched = self._touched(item, cells)
        self._check_own_input(item, touched, read)
        instance, word = np.nonzero(touched)
        self._writer[touched] = index
        for lane in range(PROCESSORS_PER_INSTANCE):
            self._memory[instance * PROCESSORS_PER_INSTANCE + lane, word] = _FILLER - index
        tensor = self._tensor(index, item.output_shape)
        tensor.cells = cells
        self._memory[cells.processors[:, None], cells.words] = tensor.numbers
        self._roll(item, tensor)

    def _roll(self, item: Placed, written: Remembered) -> None:
        """Note what the rolling buffer holds after a shift or an insertion."""
        rolled = self._tensors.get(_BUFFER)
        if rolled is None:
            return
        shift, insert = (int(item.entry.get(f"buffer_{key}", 0)) for key in ("shift", "insert"))
        if shift:
            rolled.numbers[:, :-shift] = written.numbers
            rolled.numbers[:, -shift:] = _FILLER
        if insert:
            rolled.numbers[:, -insert:] = written.numbers

    def _touched(self, item: Placed, cells: Cells) -> npt.NDArray[np.bool_]:
        touched = np.zeros(self._writer.shape, dtype=np.bool_)
        instance = (cells.processors // PROCESSORS_PER_INSTANCE)[:, None]
        gap = 1 + int(item.entry.get("write_gap", 0))
        last = self._writer.shape[1] - 1
        for lane in range(4 if item.layer.wide else 1):
            touched[instance, np.minimum(cells.words + lane * gap, last)] = True
        return touched

    def _check_own_input(
        self, item: Placed, touched: npt.NDArray[np.bool_], read: Sequence[Cells]
    ) -> None:
        looked = np.zeros_like(touched)
        for cells in read:
            looked[(cells.processors // PROCESSORS_PER_INSTANCE)[:, None], cells.words] = True
        both = looked & touched
        moves_down = "buffer_shift" in item.entry.given and (
            item.entry.get("out_offset", 0) < item.in_offset(self.network)
        )
        if not both.any() or moves_down:
            return  # a shift has read each word before it writes there
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
            wrong = held != tensor.numbers
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


def _whole_words(item: Placed, cells: Cells, numbers: _Ints) -> tuple[Cells, _Ints]:
    """Return one value per word: CHW data has four positions of one channel in each."""
    if not item.is_chw:
        return cells, numbers
    return Cells(cells.processors, cells.words[:, ::4]), numbers[:, ::4]


def check_dataflow(
    network: NetworkEntry,
    placed: Sequence[Placed],
    input_shape: Shape,
    part: Part,
    problems: Problems,
    *,
    overlap: bool = False,
) -> None:
    """Record every word that is read where it does not lie, or overwritten while needed."""
    DataFlow(network, by_index(placed), input_shape, part, problems, overlap).run()
