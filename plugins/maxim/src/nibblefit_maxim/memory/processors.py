"""Processor maps: which of the 64 processors a layer's channels sit on.

Source: ai8x-synthesis commit ab4f4c0, `izer/izer.py` (passes and popcounts) and README,
"Data Memory and Processors".
"""

from __future__ import annotations

from nibblefit_maxim.parts import (
    PROCESSORS,
    PROCESSORS_PER_INSTANCE,
    PROCESSORS_PER_QUADRANT,
    QUADRANTS,
)


def passes(channels: int) -> int:
    """Return how many passes over the 64 processors `channels` need."""
    return -(-channels // PROCESSORS)


def processors_per_pass(channels: int) -> int:
    """Return how many processors are on: channels spread evenly over the passes.

    With several passes the number is rounded up to a multiple of four.
    """
    count = -(-channels // passes(channels))
    if channels > PROCESSORS:
        count = min(-(-count // 4) * 4, PROCESSORS)
    return count


def contiguous(start: int, count: int) -> int:
    """Return the map with `count` bits from processor `start` on."""
    return ((1 << count) - 1) << start


def bits(processor_map: int) -> tuple[int, ...]:
    """Return the processors of a map, ascending."""
    return tuple(i for i in range(PROCESSORS) if processor_map >> i & 1)


def instances(processor_map: int) -> frozenset[int]:
    """Return the data-memory instances that a map's processors read and write."""
    return frozenset(i // PROCESSORS_PER_INSTANCE for i in bits(processor_map))


def quadrants(processor_map: int) -> tuple[int, ...]:
    """Return the quadrants a map touches, ascending."""
    return tuple(sorted({i // PROCESSORS_PER_QUADRANT for i in bits(processor_map)}))


def passthrough_output(processor_map: int) -> int:
    """Return the output map of a layer without convolution.

    Each quadrant's processors are packed into a run that starts at the quadrant's first one.
    """
    packed = 0
    for quadrant in range(QUADRANTS):
        part = processor_map >> (quadrant * PROCESSORS_PER_QUADRANT) & 0xFFFF
        if part:
            first = (part & -part).bit_length() - 1
            packed |= contiguous(quadrant * PROCESSORS_PER_QUADRANT + first, part.bit_count())
    return packed


def span(processor_map: int, out_passes: int) -> int:
    """Return the columns of weight memory that one pass over an output map takes.

    Gaps inside the map cost columns; with several passes the map counts from a multiple of four.
    """
    first = (processor_map & -processor_map).bit_length() - 1
    if out_passes > 1:
        first -= first % PROCESSORS_PER_INSTANCE
    return processor_map.bit_length() - first
