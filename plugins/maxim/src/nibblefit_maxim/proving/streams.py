"""Rolling buffers of streaming layers: disjoint, and where the layer before writes."""

from __future__ import annotations

from collections.abc import Sequence

from nibblefit_maxim.layers import HardwareLayer
from nibblefit_maxim.memory.buffers import rolling
from nibblefit_maxim.memory.needs import DATA_WORD_BYTES, LayerNeeds
from nibblefit_maxim.memory.plan import MemoryPlan
from nibblefit_maxim.memory.processors import instances
from nibblefit_maxim.parts import Part
from nibblefit_maxim.proving.addresses import Layout
from nibblefit_maxim.proving.violation import STREAM, Violation


def stream_violations(
    layers: Sequence[HardwareLayer], plan: MemoryPlan, part: Part
) -> list[Violation]:
    """Return buffers that overlap each other or the output of the last streaming layer."""
    count = sum(placed.streaming for placed in plan.layers)
    if count == 0:
        return []
    needs = [LayerNeeds(layer) for layer in layers[:count]]
    areas = []
    found = []
    for index, placed in enumerate(plan.layers[:count]):
        if not placed.streaming:
            text = "does not stream, but a layer behind it does"
            found.append(Violation(STREAM, index, placed.name, text, "streaming"))
            continue
        size = rolling(needs, index, part, is_chw=plan.is_chw).words * DATA_WORD_BYTES
        span = range(placed.in_offset, placed.in_offset + size)
        areas.append((index, span, instances(placed.processors)))
        before = plan.layers[index - 1] if index else None
        if before and (before.out_offset, before.output_processors) != (
            placed.in_offset, placed.processors,
        ):  # fmt: skip
            text = "reads its rolling buffer elsewhere than the layer before writes it"
            found.append(Violation(STREAM, index, placed.name, text, "in_offset"))
    last, layer = plan.layers[count - 1], layers[count - 1]
    written = Layout(
        last.output_processors, layer.out_channels, layer.output_pixels, last.out_offset,
        1 + last.write_gap,
    )  # fmt: skip
    areas.append((count, range(last.out_offset, written.end()), instances(last.output_processors)))
    for position, (index, span, places) in enumerate(areas):
        for other, other_span, other_places in areas[:position]:
            if (
                places & other_places
                and span.start < other_span.stop
                and (other_span.start < span.stop)
            ):
                text = f"rolling buffer at {other_span.start:#x} meets the data at {span.start:#x}"
                name = plan.layers[other].name
                found.append(Violation(STREAM, other, name, text + f" of step {index}",
                                       "out_offset"))  # fmt: skip
    return found
