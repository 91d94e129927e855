"""The rolling buffer of a network, as tensors: zeros at first, shifted and filled by layers.

Source: ai8x-synthesis commit ab4f4c0, `izer/backend/max7800x.py`, simulation of `buffer_shift` and
`buffer_insert`: a shift moves all positions down and leaves zeros at the end; an insertion puts a
layer's output there.
"""

from __future__ import annotations

from math import prod

from nibblefit_maxim.layers import Operator
from nibblefit_maxim.lower import GraphBuilder
from nibblefit_maxim.reading.entry import DataBuffer, LayerEntry
from nibblefit_maxim.reading.misfit import Misfit


class RolledBuffer:
    """The buffer's present contents, (channels, length)."""

    def __init__(self, buffer: DataBuffer, builder: GraphBuilder, network_input: str) -> None:
        self._buffer = buffer
        self._builder = builder
        self._input = network_input
        self._now = ""

    def read(self, entry: LayerEntry) -> str:
        """Return what a layer reads of it.

        Raises:
            Misfit: It reads the buffer in a way that has no meaning.
        """
        missing = {"in_offset", "out_offset", "in_dim", "in_channels"} - entry.given.keys()
        if missing:
            raise Misfit(
                entry.line, "data-buffer",
                f"reads the data buffer without {', '.join(sorted(missing))}",
            )  # fmt: skip
        now = self._contents()
        shift = entry.get("buffer_shift")
        if shift is None:
            if entry.operator is not Operator.CONV1D:
                raise Misfit(
                    entry.line_of("in_sequences"), "not-modelled",
                    "only 1-D convolutions and shifts have a defined way to read the data buffer",
                )  # fmt: skip
            return now
        if shift >= self._buffer.length:
            raise Misfit(
                entry.line_of("buffer_shift"), "data-buffer",
                f"shifts by {shift} of {self._buffer.length} positions",
            )  # fmt: skip
        return self._builder.cut(now, 2, (shift, self._buffer.length), entry.name)

    def write(self, entry: LayerEntry, tensor: str) -> None:
        """Take over what a layer that shifts or inserts has written.

        Raises:
            Misfit: Its output does not fit into the buffer.
        """
        buffer, builder = self._buffer, self._builder
        if "buffer_shift" in entry.given:
            left = (buffer.channels, int(entry.get("buffer_shift")))
            end = builder.zeros(self._input, left, f"{entry.name}.end")
            self._now = builder.joined((tensor, end), 2, f"{entry.name}.{buffer.name}")
        if "buffer_insert" not in entry.given:
            return
        count = int(entry.get("buffer_insert"))
        shape = builder.shape(tensor)
        if (shape[0], prod(shape[1:])) != (buffer.channels, count) or count >= buffer.length:
            raise Misfit(
                entry.line_of("buffer_insert"), "data-buffer",
                f"inserts {count} positions of {buffer.channels} channels, but writes {shape}",
            )  # fmt: skip
        if len(shape) != 2:
            tensor = builder.reshape(tensor, (shape[0], count), f"{entry.name}.{buffer.name}")
        kept = builder.cut(self._contents(), 2, (0, buffer.length - count), f"{entry.name}.kept")
        self._now = builder.joined((kept, tensor), 2, f"{entry.name}.{buffer.name}")

    def _contents(self) -> str:
        if not self._now:
            shape = (self._buffer.channels, self._buffer.length)
            self._now = self._builder.zeros(self._input, shape, self._buffer.name)
        return self._now
