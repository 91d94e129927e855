"""Checks of processor maps, memory sizes and overwritten inputs in a file that was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nibblefit.ir.graph import Shape
from nibblefit_maxim.layers import HardwareLayer
from nibblefit_maxim.memory.processors import (
    bits,
    contiguous,
    instances,
    passes,
    processors_per_pass,
    quadrants,
)
from nibblefit_maxim.parts import PROCESSORS_PER_INSTANCE, Part
from nibblefit_maxim.reading.entries import LayerEntry, NetworkEntry
from nibblefit_maxim.reading.yaml_text import Problems

#: Processors that the FIFO feeds, for CHW and HWC data.
#: Source: ai8x-synthesis `izer/izer.py`, "The FIFO is restricted to …".
_FIFO_CHW = sum(1 << p for p in (0, 16, 32, 48))
_FIFO_HWC = sum(0xF << p for p in (0, 16, 32, 48))
#: Leading layers that may stream.
_MAX_STREAMING = 8


@dataclass(frozen=True, slots=True)
class Placed:
    """A resolved layer with the shape it writes and the indices of its sources (−1: input)."""

    entry: LayerEntry
    layer: HardwareLayer
    output_shape: Shape
    sources: tuple[int, ...]

    @property
    def is_chw(self) -> bool:
        """Whether the layer reads one channel after another; only the first layer can."""
        return self.entry.index == 0 and self.entry.get("data_format") == "chw"

    @property
    def in_passes(self) -> int:
        """Passes over the input channels."""
        return passes(self.layer.in_channels)


def check_placement(
    network: NetworkEntry,
    placed: Sequence[Placed],
    part: Part,
    problems: Problems,
    *,
    fifo: bool,
) -> None:
    """Record every placement that the hardware cannot do or that destroys data."""
    for item in placed:
        _check_input_map(item, problems)
        _check_output_map(network, item, problems)
    _check_streaming(placed, problems, fifo=fifo)
    _check_bias_groups(placed, problems)
    for item in placed:
        _check_sizes(item, placed, part, problems)
        _check_overwrite(network, item, placed, problems)


def output_map(network: NetworkEntry, item: Placed) -> int:
    """Return the map a layer writes to: stated, the next layer's, or the low processors."""
    stated = item.entry.get("output_processors")
    if stated is not None:
        return int(stated)
    following = item.entry.index + 1
    if following < len(network.layers):
        return network.layers[following].processors
    return network.output_map or contiguous(0, processors_per_pass(item.output_shape[0]))


def _wrong_count(channels: int, found: int, what: str) -> str:
    expected = processors_per_pass(channels)
    many = passes(channels)
    return (
        f"{channels} {what} in {many} pass{'es' if many > 1 else ''} need {expected} processors; "
        f"the map {found:#018x} has {found.bit_count()}"
    )


def _check_input_map(item: Placed, problems: Problems) -> None:
    found, channels = item.entry.processors, item.layer.in_channels
    if found.bit_count() != processors_per_pass(channels):
        what = "input channels (before flattening)" if item.layer.flatten else "input channels"
        problems.add(
            item.entry.line_of("processors"),
            f"{item.entry.title}: {_wrong_count(channels, found, what)}",
        )
    if item.is_chw and len(instances(found)) < found.bit_count():
        problems.add(
            item.entry.line_of("processors"),
            f"{item.entry.title}: CHW data needs one processor per group of "
            f"{PROCESSORS_PER_INSTANCE}; the map {found:#018x} puts several in one",
        )


def _check_output_map(network: NetworkEntry, item: Placed, problems: Problems) -> None:
    found, channels = output_map(network, item), item.output_shape[0]
    following = item.entry.index + 1
    stated = "output_processors" in item.entry.given
    if not stated and following < len(network.layers):
        # The next layer may read something else; its own input check covers the usual case.
        return
    if found.bit_count() != processors_per_pass(channels):
        problems.add(
            item.entry.line_of("output_processors"),
            f"{item.entry.title}: {_wrong_count(channels, found, 'output channels')}",
        )


def _check_streaming(placed: Sequence[Placed], problems: Problems, *, fifo: bool) -> None:
    streams = [bool(item.entry.get("streaming")) for item in placed]
    for item, before, now in zip(placed[1:], streams, streams[1:], strict=False):
        if now and not before:
            problems.add(
                item.entry.line_of("streaming"),
                f"{item.entry.title}: streams, but the layer before it does not; streaming layers "
                "must be the first ones",
            )
    if sum(streams) > _MAX_STREAMING:
        problems.add(0, f"{sum(streams)} streaming layers; the hardware has {_MAX_STREAMING}")
    first = placed[0]
    if streams[0] and not fifo:
        problems.add(
            first.entry.line_of("streaming"),
            f"{first.entry.title}: streaming the network's input needs the FIFO (--fifo)",
        )
    allowed = _FIFO_CHW if first.is_chw else _FIFO_HWC
    if fifo and first.entry.processors & ~allowed:
        problems.add(
            first.entry.line_of("processors"),
            f"{first.entry.title}: the FIFO feeds processors {', '.join(map(str, bits(allowed)))} "
            f"only; the map is {first.entry.processors:#018x}",
        )


def _check_bias_groups(placed: Sequence[Placed], problems: Problems) -> None:
    used = {q for item in placed for q in quadrants(item.entry.processors)}
    for item in placed:
        for quadrant in item.entry.get("bias_group", ()):
            if quadrant not in used:
                problems.add(
                    item.entry.line_of("bias_group"),
                    f"{item.entry.title}: bias quadrant {quadrant} is not used by this network",
                )


def _input_range(item: Placed, in_offset: int) -> range:
    words = item.layer.input_pixels * item.in_passes * item.layer.operands
    return range(in_offset, in_offset + words * (1 if item.is_chw else 4))


def _output_range(item: Placed) -> range:
    pixels = 1
    for size in item.output_shape[1:]:
        pixels *= size
    width = 4 if item.layer.wide else 1
    start = int(item.entry.get("out_offset", 0))
    gap = 1 + int(item.entry.get("write_gap", 0))
    words = (pixels * passes(item.output_shape[0]) - 1) * gap + 1
    return range(start, start + words * 4 * width)


def _in_offset(item: Placed, placed: Sequence[Placed]) -> int:
    before = placed[item.entry.index - 1].entry.get("out_offset", 0) if item.entry.index else 0
    return int(item.entry.get("in_offset", before))


def _check_sizes(item: Placed, placed: Sequence[Placed], part: Part, problems: Problems) -> None:
    ends = []
    if not item.entry.get("streaming"):
        ends.append(("input", "in_offset", _input_range(item, _in_offset(item, placed)).stop))
    following = placed[item.entry.index + 1 : item.entry.index + 2]
    if not any(other.entry.get("streaming") for other in following):
        # What a streaming layer reads lives in a rolling buffer, never as a whole.
        ends.append(("output", "out_offset", _output_range(item).stop))
    for what, key, end in ends:
        if end > part.instance_bytes:
            problems.add(
                item.entry.line_of(key),
                f"{item.entry.title}: {what} ends at byte {end} of a data memory of "
                f"{part.instance_bytes}",
            )


def _check_overwrite(
    network: NetworkEntry, item: Placed, placed: Sequence[Placed], problems: Problems
) -> None:
    if item.entry.get("streaming"):
        return
    read = _input_range(item, _in_offset(item, placed))
    written = _output_range(item)
    shared = instances(item.entry.processors) & instances(output_map(network, item))
    if shared and read.start < written.stop and written.start < read.stop:
        problems.add(
            item.entry.line_of("out_offset"),
            f"{item.entry.title}: output at {written.start:#x} to {written.stop:#x} overwrites "
            f"its own input at {read.start:#x} to {read.stop:#x}",
        )
