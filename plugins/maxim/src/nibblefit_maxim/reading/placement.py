"""Checks of processor maps, bias groups and memory sizes in a file that was read."""

from __future__ import annotations

from collections.abc import Sequence

from nibblefit_maxim.layers import Operator
from nibblefit_maxim.memory.processors import (
    bits,
    instances,
    passes,
    processors_per_pass,
    quadrants,
)
from nibblefit_maxim.parts import (
    PROCESSORS_PER_INSTANCE,
    PROCESSORS_PER_QUADRANT,
    QUADRANTS,
    Part,
)
from nibblefit_maxim.reading.entry import NetworkEntry
from nibblefit_maxim.reading.placed import Placed, by_index, output_map
from nibblefit_maxim.reading.problems import Problems


def check_placement(
    network: NetworkEntry, placed: Sequence[Placed], part: Part, problems: Problems
) -> None:
    """Record every map, size and bias group that the hardware cannot have."""
    layers = by_index(placed)
    readers: dict[int, list[Placed]] = {}
    for item in placed:
        for source in item.sources:
            readers.setdefault(source, []).append(item)
    for item in placed:
        if item.entry.processors:
            _check_input_map(item, problems)
        if output_map(network, item):
            _check_output_map(network, item, readers, problems)
            _check_special_maps(network, item, problems)
            _check_sizes(network, item, layers, part, problems)
    _check_quadrants(network, placed, problems)


def _wrong_count(channels: int, found: int, what: str) -> str:
    expected = processors_per_pass(channels)
    many = passes(channels)
    return (
        f"{channels} {what} in {many} pass{'es' if many > 1 else ''} need {expected} processors; "
        f"the map {found:#018x} has {found.bit_count()}"
    )


def _check_input_map(item: Placed, problems: Problems) -> None:
    found, channels = item.entry.processors, item.layer.in_channels
    line = item.entry.line_of("processors")
    if not item.has_input_map:
        what = "input channels (before flattening)" if item.layer.flatten else "input channels"
        message = _wrong_count(channels, found, what)
        problems.add(line, "input-map", f"{item.entry.title}: {message}")
    if item.is_chw and len(instances(found)) < found.bit_count():
        problems.add(
            line,
            "chw-instance",
            f"{item.entry.title}: CHW data needs one processor per group of "
            f"{PROCESSORS_PER_INSTANCE}; the map {found:#018x} puts several in one",
        )


def _check_output_map(
    network: NetworkEntry, item: Placed, readers: dict[int, list[Placed]], problems: Problems
) -> None:
    found, channels = output_map(network, item), item.output_shape[0]
    if found.bit_count() == processors_per_pass(channels):
        return
    index = item.entry.index
    message = f"{item.entry.title}: {_wrong_count(channels, found, 'output channels')}"
    if "output_processors" in item.entry.given or index + 1 == len(network.layers):
        problems.add(item.entry.line_of("output_processors"), "output-map", message)
        return
    following = network.layers[index + 1]
    is_reader = any(reader.entry is following for reader in readers.get(index, []))
    if is_reader and len(item_sources(readers[index], following.index)) == 1:
        # The reader's own input check says the same about the map that is really wrong.
        return
    problems.add(
        item.entry.line,
        "output-map",
        f"{message} of {following.title}, which stands next; 'output_processors' is missing",
        "write output_processors in this layer",
    )


def item_sources(readers: Sequence[Placed], index: int) -> tuple[int, ...]:
    """Return the sources of the reader with this index."""
    return next((reader.sources for reader in readers if reader.entry.index == index), ())


def _check_special_maps(network: NetworkEntry, item: Placed, problems: Problems) -> None:
    read, written = item.entry.processors, output_map(network, item)
    line, title = item.entry.line_of("output_processors"), item.entry.title
    first = bits(written)[0]
    if item.layer.operator is Operator.PASSTHROUGH:
        for quadrant in range(QUADRANTS):
            shift = quadrant * PROCESSORS_PER_QUADRANT
            reading, writing = read >> shift & 0xFFFF, written >> shift & 0xFFFF
            if reading.bit_count() != writing.bit_count() or not _is_run(writing):
                problems.add(
                    line,
                    "passthrough-map",
                    f"{title}: quadrant {quadrant} reads on {reading:#06x} and writes on "
                    f"{writing:#06x}; a layer without operator writes one run of as many",
                )
                return
    elif item.layer.groups > 1 and first % PROCESSORS_PER_INSTANCE:
        problems.add(
            line, "depthwise-map", f"{title}: the output map {written:#018x} starts at {first}"
        )
    elif item.weight_bits < 8 and first % PROCESSORS_PER_INSTANCE:
        problems.add(
            line,
            "narrow-map",
            f"{title}: {item.weight_bits}-bit weights, and the output map {written:#018x} starts "
            f"at processor {first}",
        )


def _is_run(processor_map: int) -> bool:
    """Return whether all bits stand side by side."""
    run = processor_map // (processor_map & -processor_map) if processor_map else 0
    return run & (run + 1) == 0


def _check_quadrants(network: NetworkEntry, placed: Sequence[Placed], problems: Problems) -> None:
    used = {q for entry in network.layers for q in quadrants(entry.processors)}
    for entry in network.layers:
        for quadrant in entry.get("bias_group", ()):
            if quadrant not in used:
                problems.add(
                    entry.line_of("bias_group"),
                    "bias-group",
                    f"{entry.title}: bias quadrant {quadrant} is not used by this network; used: "
                    f"{', '.join(map(str, sorted(used)))}",
                )
    whole = len(placed) == len(network.layers) and placed
    final = output_map(network, placed[-1]) if whole else 1
    if used and 0 not in used and 0 not in quadrants(final):
        problems.add(0, "quadrant-0", "no layer uses processors 0 to 15")


def _check_sizes(
    network: NetworkEntry,
    item: Placed,
    layers: dict[int, Placed],
    part: Part,
    problems: Problems,
) -> None:
    ends: list[tuple[str, str, str, int]] = []
    if not item.is_streaming and item.has_input_map:
        last = item.operands - 1
        end = item.read_end(network, last)
        ends.append(("input", "in_offset", "data-size", end))
    following = layers.get(item.entry.index + 1)
    if following is None or not following.is_streaming:
        # What a streaming layer reads lives in a rolling buffer, never as a whole.
        has_map = output_map(network, item).bit_count() == processors_per_pass(item.output_shape[0])
        width = 12 if item.layer.wide else 0
        end = item.write_end(network) + width if has_map else 0
        gap = int(item.entry.get("write_gap", 0))
        rule = "write-gap-size" if gap and _without_gap(item, end) <= part.instance_bytes else ""
        ends.append(("output", "out_offset", rule or "data-size", end))
    for what, key, rule, end in ends:
        if end > part.instance_bytes:
            problems.add(
                item.entry.line_of(key),
                rule,
                f"{item.entry.title}: {what} ends at byte {end} of a data memory of "
                f"{part.instance_bytes}",
            )


def _without_gap(item: Placed, end: int) -> int:
    """Return where output would end if it had no gaps; only this the compiler looks at."""
    start = int(item.entry.get("out_offset", 0))
    return start + (end - start) // (1 + int(item.entry.get("write_gap", 0)))
