"""In which shape a layer reads what others wrote: parts of it, cropped, laid out anew.

Source: ai8x-synthesis commit ab4f4c0, `izer/backend/max7800x.py`, simulation: operands are split,
channels dropped (with ``--reshape-inputs``), rows cropped, and the rest is reshaped, in this order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from nibblefit.ir.graph import Shape
from nibblefit_maxim.layers import Operator
from nibblefit_maxim.lower import GraphBuilder
from nibblefit_maxim.reading.entry import LayerEntry
from nibblefit_maxim.reading.misfit import Misfit


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a source that a layer reads.

    Attributes:
        skip: Channels left out at the beginning.
        channels: Channels read.
        crop: Rows left out at the beginning and at the end.
    """

    skip: int
    channels: int
    crop: tuple[int, int]

    def positions(self, shape: Shape) -> slice:
        """Return which positions of a source of this shape are read."""
        row = prod(shape[2:])
        return slice(self.crop[0] * row, prod(shape[1:]) - self.crop[1] * row)


def part_of(entry: LayerEntry, channels: int) -> Part:
    """Return the part of a source with so many channels that a layer reads.

    Raises:
        Misfit: It has fewer channels than the layer wants.
    """
    skip = int(entry.get("in_channel_skip", 0))
    wanted = channels - skip if entry.get("flatten") else entry.get("in_channels", channels - skip)
    if wanted < 1 or skip + wanted > channels:
        raise Misfit(
            entry.line_of("in_channels"), "shape",
            f"reads {wanted} channels from channel {skip} on; the data has {channels}",
        )  # fmt: skip
    return Part(skip, int(wanted), entry.get("in_crop", (0, 0)))


class Views:
    """Makes the tensors that layers read."""

    def __init__(self, builder: GraphBuilder) -> None:
        self._builder = builder

    def of(self, entry: LayerEntry, sources: Sequence[str]) -> tuple[str, ...]:
        """Return operand or member tensors in the shape that the layer reads.

        Raises:
            Misfit: What arrives does not fit.
        """
        if entry.eltwise and len(sources) == 1:
            sources = self._operands_inside(entry, sources[0])
        elif entry.eltwise and len(sources) != entry.operands:
            raise Misfit(
                entry.line_of("in_sequences"), "eltwise",
                f"{entry.operands} operands, but {len(sources)} input sequences",
            )  # fmt: skip
        self._check_features(entry, sources)
        if len(sources) > 1 and not entry.eltwise:
            self._check_whole(entry, sources)
            return tuple(self._reshaped(entry, self._cropped(entry, name)) for name in sources)
        return tuple(self._reshaped(entry, self._taken(entry, name)) for name in sources)

    def _check_features(self, entry: LayerEntry, sources: Sequence[str]) -> None:
        """With flatten, `in_channels` counts features."""
        if not entry.get("flatten") or "in_channels" not in entry.given:
            return
        found = sum(prod(self._builder.shape(name)) for name in sources)
        stated = entry.get("in_channels")
        if stated != found:
            raise Misfit(
                entry.line_of("in_channels"), "shape",
                f"'in_channels' is {stated}, but {found} features arrive",
            )  # fmt: skip

    def _check_whole(self, entry: LayerEntry, sources: Sequence[str]) -> None:
        """A concatenation is read whole."""
        found = sum(self._builder.shape(name)[0] for name in sources)
        is_part = entry.get("in_channel_skip", 0) or entry.get("in_channels", found) != found
        if is_part and not entry.get("flatten"):
            raise Misfit(
                entry.line_of("in_channels"), "shape",
                f"a concatenation of {found} channels is read whole; 'in_channels' and "
                "'in_channel_skip' say otherwise",
            )  # fmt: skip

    def _operands_inside(self, entry: LayerEntry, tensor: str) -> tuple[str, ...]:
        """Split one tensor into operands: its values in memory order, operand after operand."""
        builder = self._builder
        channels, *spatial = builder.shape(tensor)
        size = tuple(entry.get("in_dim", spatial))
        wanted, rest = divmod(channels * prod(spatial), prod(size))
        if rest or wanted % entry.operands:
            raise Misfit(
                entry.line, "eltwise",
                f"data of shape {(channels, *spatial)} cannot be split into {entry.operands} "
                f"operands of {size}",
            )  # fmt: skip
        if (wanted, *size) != (channels, *spatial):
            tensor = builder.reshape(tensor, (wanted, *size), entry.name)
        return builder.split(tensor, entry.operands, entry.name)

    def _taken(self, entry: LayerEntry, tensor: str) -> str:
        """Return the part of one source that is read."""
        channels = self._builder.shape(tensor)[0]
        part = part_of(entry, channels)
        if part.channels != channels:
            stop = part.skip + part.channels
            tensor = self._builder.cut(tensor, 1, (part.skip, stop), entry.name)
        return self._cropped(entry, tensor)

    def _cropped(self, entry: LayerEntry, tensor: str) -> str:
        before, behind = entry.get("in_crop", (0, 0))
        if not before and not behind:
            return tensor
        rows = (*self._builder.shape(tensor), 1)[1]
        if before + behind >= rows:
            raise Misfit(
                entry.line_of("in_crop"), "shape",
                f"'in_crop' takes {before} and {behind} rows of {rows}",
            )  # fmt: skip
        return self._builder.cut(tensor, 2, (before, rows - behind), entry.name)

    def _reshaped(self, entry: LayerEntry, tensor: str) -> str:
        shape = self._builder.shape(tensor)
        wanted = _wanted_shape(entry, shape)
        if wanted == shape:
            return tensor
        if prod(shape[1:]) != prod(wanted[1:]):
            raise Misfit(
                entry.line_of("in_dim"), "shape",
                f"'in_dim' {wanted[1:]} has {prod(wanted[1:])} positions, the data has "
                f"{prod(shape[1:])}; 'in_crop' leaves rows out",
            )  # fmt: skip
        return self._builder.reshape(tensor, wanted, f"{entry.name}.{tensor}")


def _wanted_shape(entry: LayerEntry, shape: Shape) -> Shape:
    channels, spatial = shape[0], shape[1:]
    spatial = tuple(entry.get("in_dim", spatial))
    if entry.operator is Operator.CONV1D:
        return (channels, prod(spatial))
    if entry.operator in (Operator.CONV2D, Operator.CONV_TRANSPOSE2D) and len(spatial) < 2:
        return (channels, *spatial, *(1,) * (2 - len(spatial)))
    return (channels, *spatial)
