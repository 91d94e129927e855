"""Checks of streaming layers and of the FIFO that feeds them.

Source: ai8x-synthesis commit ab4f4c0, `izer/izer.py` and `izer/backend/max7800x.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from nibblefit_maxim.layers import HardwareLayer, Operator
from nibblefit_maxim.memory.processors import bits, instances
from nibblefit_maxim.parts import Part
from nibblefit_maxim.reading.entry import NetworkEntry
from nibblefit_maxim.reading.placed import Placed, output_map
from nibblefit_maxim.reading.problems import Problems
from nibblefit_maxim.reading.rolling import buffer_words

#: Processors that the FIFO feeds, for CHW and HWC data.
_FIFO_CHW = sum(1 << p for p in (0, 16, 32, 48))
_FIFO_HWC = sum(0xF << p for p in (0, 16, 32, 48))
#: Leading layers that may stream.
_MAX_STREAMING = 8

#: Whose memory it is, in which instances, and which bytes of each.
_Place: TypeAlias = tuple[str, frozenset[int], range]


def check_streaming(
    network: NetworkEntry,
    placed: Sequence[Placed],
    part: Part,
    problems: Problems,
    *,
    fifo: bool,
) -> None:
    """Record what the streaming logic cannot do."""
    entries = network.layers
    streams = [bool(entry.get("streaming")) for entry in entries]
    for entry, before, now in zip(entries[1:], streams, streams[1:], strict=False):
        if now and not before:
            problems.add(
                entry.line_of("streaming"),
                "streaming-order",
                f"{entry.title}: streams, but the layer before it does not; streaming layers must "
                "be the first ones",
            )
    if sum(streams) > _MAX_STREAMING:
        message = f"{sum(streams)} streaming layers; the hardware has {_MAX_STREAMING}"
        problems.add(0, "streaming-order", message)
    if streams and streams[0] and not fifo:
        problems.add(
            entries[0].line_of("streaming"),
            "streaming-fifo",
            f"{entries[0].title}: streaming the network's input needs the FIFO (--fifo)",
        )
    if fifo and entries:
        _check_fifo(network, problems)
    leading = [item for item in placed if item.is_streaming]
    for item in leading:
        _check_kind(item, item is leading[-1], part, problems)
    if fifo:
        _check_buffers(network, leading, part, problems)


def _check_fifo(network: NetworkEntry, problems: Problems) -> None:
    first = network.layers[0]
    allowed = _FIFO_CHW if first.get("data_format") == "chw" else _FIFO_HWC
    if first.processors & ~allowed:
        problems.add(
            first.line_of("processors"),
            "fifo-map",
            f"{first.title}: the FIFO feeds processors {', '.join(map(str, bits(allowed)))} only; "
            f"the map is {first.processors:#018x}",
        )


def _check_kind(item: Placed, is_last: bool, part: Part, problems: Problems) -> None:
    def wrong(rule: str, message: str) -> None:
        problems.add(item.entry.line_of("streaming"), rule, f"{item.entry.title}: {message}")

    if item.layer.operator is Operator.LINEAR:
        wrong("streaming-kind", "a linear layer cannot stream")
    if item.layer.operator is Operator.PASSTHROUGH and part.device == "MAX78002":
        wrong("streaming-kind", "a layer without operator cannot stream on the MAX78002")
    if part.device == "MAX78000":
        if is_last and max(item.layer.kernel, default=1) > 1 and max(item.layer.pad) == 0:
            wrong("streaming-kind", "the last streaming layer of the MAX78000 must have pad 1 or 2")
        if item.is_biased:
            wrong("streaming-bias", "has a bias; the MAX78000 may compute it wrongly")


def _check_buffers(
    network: NetworkEntry, leading: Sequence[Placed], part: Part, problems: Problems
) -> None:
    taken: list[_Place] = []
    before: HardwareLayer | None = None
    for item in leading:
        words = buffer_words(item, before, part)
        start = item.in_offset(network)
        _check_distance(network, item, words, problems)
        taken.append(
            (item.entry.title, instances(item.entry.processors), range(start, start + 4 * words))
        )
        before = item.layer
    if leading:
        last = leading[-1]
        if output_map(network, last):
            place = range(int(last.entry.get("out_offset", 0)), last.write_end(network))
            title = f"the output of {last.entry.title}"
            taken.append((title, instances(output_map(network, last)), place))
    for first, second in _overlapping(taken):
        problems.add(
            network.layers[0].line,
            "streaming-buffers",
            f"the rolling buffer of {first[0]} (bytes {first[2].start:#x} to {first[2].stop:#x}) "
            f"and {second[0]} ({second[2].start:#x} to {second[2].stop:#x}) overlap",
        )


def _check_distance(network: NetworkEntry, item: Placed, words: int, problems: Problems) -> None:
    """Record a layer that writes too close to its own buffer, on the same processors.

    The compiler wants a word between them, and takes the buffer's size for what lies below it.
    """
    if not item.entry.processors & output_map(network, item):
        return
    low, high = sorted((item.in_offset(network), int(item.entry.get("out_offset", 0))))
    if low + 4 * words >= high:
        problems.add(
            item.entry.line_of("out_offset"),
            "streaming-buffers",
            f"{item.entry.title}: reads at {item.in_offset(network):#x} and writes at "
            f"{item.entry.get('out_offset', 0):#x}; its rolling buffer of {words} words needs "
            f"{4 * words + 4:#x} bytes between them",
        )


def _overlapping(taken: Sequence[_Place]) -> Iterator[tuple[_Place, _Place]]:
    for index, one in enumerate(taken):
        for two in taken[index + 1 :]:
            meets = one[2].start < two[2].stop and two[2].start < one[2].stop
            if one[1] & two[1] and meets:
                yield one, two
