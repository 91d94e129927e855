"""A resolved layer and where its data lies: the addresses it reads and writes, word by word.

Source: ai8x-synthesis commit ab4f4c0, `izer/izer.py` and README, "Data Memory"; written without
the planner, so that a planned file is checked by other code than that which planned it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nibblefit.ir.graph import Shape
from nibblefit_maxim.layers import HardwareLayer
from nibblefit_maxim.memory.processors import bits, contiguous, passes, processors_per_pass
from nibblefit_maxim.reading.entry import DataBuffer, LayerEntry, NetworkEntry

#: Name of the network's input tensor.
INPUT = "input"
#: Stands for the rolling buffer among the names of sources.
BUFFER = "data buffer"
_Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cells:
    """Where values lie: one row per channel, one column per position.

    Attributes:
        processors: (channels,) processor of each channel.
        words: (channels, positions) word inside the processor's data-memory instance.
    """

    processors: _Ints
    words: _Ints

    @property
    def end(self) -> int:
        """First byte behind the last word."""
        return 4 * (int(self.words.max()) + 1) if self.words.size else 0


@dataclass(frozen=True, slots=True)
class Placed:
    """A resolved layer.

    Attributes:
        entry: As written.
        layer: What it computes.
        output_shape: Shape of what it writes.
        sources: Indices of the layers it reads; −1 is the network's input, −2 the rolling buffer.
        weight_bits: Width of its weights.
        is_biased: Whether any bias code is other than zero.
    """

    entry: LayerEntry
    layer: HardwareLayer
    output_shape: Shape
    sources: tuple[int, ...]
    weight_bits: int = 8
    is_biased: bool = False

    @property
    def is_chw(self) -> bool:
        """Whether the layer reads one channel after another; only the first layer can."""
        return self.entry.index == 0 and self.entry.get("data_format") == "chw"

    @property
    def is_streaming(self) -> bool:
        """Whether the layer reads from a rolling buffer or the FIFO."""
        return bool(self.entry.get("streaming"))

    @property
    def in_passes(self) -> int:
        """Passes over the input channels."""
        return passes(self.layer.in_channels)

    @property
    def out_passes(self) -> int:
        """Passes over the output channels."""
        return passes(self.output_shape[0])

    @property
    def operands(self) -> int:
        """Values read per channel and position."""
        return len(self.layer.inputs) if self.layer.eltwise else 1

    @property
    def has_input_map(self) -> bool:
        """Whether the input map has the bits that the channels need."""
        return self.entry.processors.bit_count() == processors_per_pass(self.layer.in_channels)

    def in_offset(self, network: NetworkEntry) -> int:
        """Return the byte at which the layer begins to read."""
        before = network.layers[self.entry.index - 1] if self.entry.index else None
        default = before.get("out_offset", 0) if before else 0
        return int(self.entry.get("in_offset", default))

    def read_cells(self, network: NetworkEntry, operand: int = 0) -> Cells:
        """Return where one operand's values are read; the input map must have the right bits."""
        return self._read_at(network, operand, np.arange(self.layer.input_pixels, dtype=np.int64))

    def read_end(self, network: NetworkEntry, operand: int = 0) -> int:
        """Return the first byte behind what an operand reads: addresses rise with the position."""
        return self._read_at(network, operand, _exact(self.layer.input_pixels - 1)).end

    def _read_at(self, network: NetworkEntry, operand: int, pixel: npt.NDArray[Any]) -> Cells:
        slot, many = slots(self.layer.in_channels, self.entry.processors)
        start = self.in_offset(network) // 4
        if self.is_chw:
            words = np.broadcast_to(pixel // 4, (slot.size, pixel.size))
            return Cells(slot, start + words)
        gap = 1 + int(self.entry.get("in_skip", 0))
        step = (pixel[None, :] * self.in_passes + many[:, None]) * self.operands + operand
        return Cells(slot, start + step * gap)

    def write_cells(self, network: NetworkEntry) -> Cells:
        """Return where the output is written; the output map must have the right bits.

        A 32-bit value takes four words; its first one is returned.
        """
        return self._write_at(network, np.arange(prod(self.output_shape[1:]), dtype=np.int64))

    def write_end(self, network: NetworkEntry) -> int:
        """Return the first byte behind the last of `write_cells`."""
        return self._write_at(network, _exact(prod(self.output_shape[1:]) - 1)).end

    def _write_at(self, network: NetworkEntry, pixel: npt.NDArray[Any]) -> Cells:
        slot, many = slots(self.output_shape[0], output_map(network, self))
        width = 4 if self.layer.wide else 1
        gap = 1 + int(self.entry.get("write_gap", 0))
        step = (pixel[None, :] * self.out_passes + many[:, None]) * width * gap
        return Cells(slot, int(self.entry.get("out_offset", 0)) // 4 + step)


def _exact(position: int) -> npt.NDArray[Any]:
    """Return one position as a Python integer: offsets of a file may be beyond 64 bits."""
    return np.array([position], dtype=object)


def slots(channels: int, processor_map: int) -> tuple[_Ints, _Ints]:
    """Return the processor and the pass of every channel."""
    active = np.array(bits(processor_map), dtype=np.int64)
    channel = np.arange(channels, dtype=np.int64)
    return active[channel % active.size], channel // active.size


def buffer_cells(buffer: DataBuffer) -> Cells:
    """Return where the rolling buffer lies; its map must have the right bits."""
    slot, many = slots(buffer.channels, buffer.processors)
    step = np.arange(buffer.length, dtype=np.int64)[None, :] * passes(buffer.channels)
    return Cells(slot, buffer.offset // 4 + step + many[:, None])


def output_map(network: NetworkEntry, item: Placed) -> int:
    """Return the map a layer writes to: stated, the next layer's, or the low processors."""
    stated = item.entry.get("output_processors")
    if stated is not None:
        return int(stated)
    following = item.entry.index + 1
    if following < len(network.layers):
        return network.layers[following].processors
    return network.output_map or contiguous(0, processors_per_pass(item.output_shape[0]))


def by_index(placed: Sequence[Placed]) -> dict[int, Placed]:
    """Return resolved layers by their index in the file."""
    return {item.entry.index: item for item in placed}
