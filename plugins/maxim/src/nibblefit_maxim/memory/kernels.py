"""Weight memory: which processors a layer's channels sit on, so that all layers fit.

Every active input processor of a layer holds that layer's kernels for its own channel, at one
start column that is the same on all of them. Layers on disjoint processors therefore share
columns, and moving maps along the 64 processors balances the load.

Source: ai8x-synthesis commit ab4f4c0, `izer/kernels.py`: layers on all 64 processors are placed
first, then the others in order; first fit, start columns in steps of four.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nibblefit_maxim.layers import Operator
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.processors import bits, contiguous, passthrough_output
from nibblefit_maxim.memory.shortage import Shortage
from nibblefit_maxim.parts import (
    PROCESSORS,
    PROCESSORS_PER_INSTANCE,
    PROCESSORS_PER_QUADRANT,
    Part,
)

#: Start columns are multiples of this.
COLUMN_STEP = 4


@dataclass(frozen=True, slots=True)
class KernelPlan:
    """Maps and columns.

    Attributes:
        input_maps: One per layer.
        output_maps: One per layer.
        columns: Start column per layer; −1 for layers without weights.
        used: Highest used column per processor, 64 entries.
    """

    input_maps: tuple[int, ...]
    output_maps: tuple[int, ...]
    columns: tuple[int, ...]
    used: tuple[int, ...]


def choose_maps(needs: Sequence[LayerNeeds], *, chw: bool) -> list[int]:
    """Return an input map per layer of a chain that balances weight memory.

    Maps are contiguous and start at multiples of four, so that no column is lost to gaps. Layers
    are placed from the largest to the smallest, each where the fullest of its processors stays
    emptiest; the first layer starts at processor 0. A layer without convolution hands its
    processors on, packed from the start of each quadrant, so it shares one map with its
    successor, and that map starts at a quadrant.
    """
    load = np.zeros(PROCESSORS, dtype=np.int64)
    starts: dict[int, int] = {}
    groups = _groups(needs)
    first = needs[0]
    order = sorted(
        range(len(groups)),
        key=lambda g: (0 not in groups[g], -sum(needs[i].kernel_words for i in groups[g]), g),
    )
    for group_index in order:
        group = groups[group_index]
        count = needs[group[0]].in_processors
        words = sum(needs[i].kernel_words for i in group)
        step = PROCESSORS_PER_QUADRANT if len(group) > 1 else PROCESSORS_PER_INSTANCE
        options = [0] if 0 in group else range(0, PROCESSORS - count + 1, step)
        start = min(
            options,
            key=lambda s: (int(load[s : s + count].max()), int(load[s : s + count].sum()), s),
        )
        load[start : start + count] += words
        starts.update(dict.fromkeys(group, start))
    maps = [contiguous(starts[i], need.in_processors) for i, need in enumerate(needs)]
    if chw:
        maps[0] = sum(1 << (PROCESSORS_PER_INSTANCE * c) for c in range(first.layer.in_channels))
    return maps


def _groups(needs: Sequence[LayerNeeds]) -> list[list[int]]:
    """Return runs of layers that must share one input map."""
    groups: list[list[int]] = []
    for index, need in enumerate(needs):
        is_bound = index > 0 and needs[index - 1].layer.operator is Operator.PASSTHROUGH
        if is_bound and need.in_processors == needs[index - 1].in_processors:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def plan_kernels(
    needs: Sequence[LayerNeeds], part: Part, *, chw: bool = False
) -> tuple[KernelPlan, list[Shortage]]:
    """Place all weights; shortages are empty if they fit."""
    input_maps = choose_maps(needs, chw=chw)
    output_maps = [*input_maps[1:], contiguous(0, needs[-1].out_processors)]
    if needs[-1].layer.operator is Operator.PASSTHROUGH:
        output_maps[-1] = passthrough_output(input_maps[-1])
    columns, used = place_columns(needs, input_maps)
    peak = max(used)
    plan = KernelPlan(tuple(input_maps), tuple(output_maps), tuple(columns), tuple(used))
    if peak <= part.kernel_words:
        return plan, []
    largest = max(needs, key=lambda need: need.kernel_words)
    return plan, [
        Shortage(
            "memory.weights",
            largest.layer.name,
            f"weights need {peak} words per processor; the {part.title} has {part.kernel_words}, "
            f"{peak - part.kernel_words} too few; this layer alone takes {largest.kernel_words} on "
            f"{largest.in_processors} processors",
            "use fewer channels here, or weight_bits = 4 for this layer",
            peak,
            part.kernel_words,
            "words",
        )
    ]


def place_columns(
    needs: Sequence[LayerNeeds], input_maps: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Return the start column per layer and the highest used column per processor."""
    room = sum(-(-need.kernel_words // COLUMN_STEP) * COLUMN_STEP for need in needs) + COLUMN_STEP
    taken = np.zeros((PROCESSORS, room), dtype=bool)
    columns = [-1] * len(needs)
    order = sorted(range(len(needs)), key=lambda i: (input_maps[i].bit_count() != PROCESSORS, i))
    for index in order:
        words = needs[index].kernel_words
        if words == 0:
            continue
        active = list(bits(input_maps[index]))
        columns[index] = _first_fit(taken[active].any(axis=0), words)
        taken[active, columns[index] : columns[index] + words] = True
    used = [int(row.nonzero()[0][-1]) + 1 if row.any() else 0 for row in taken]
    return columns, used


def _first_fit(occupied: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], words: int) -> int:
    """Return the first multiple of the column step with `words` free columns from there on."""
    filled = np.concatenate(([0], np.cumsum(occupied)))
    starts = np.arange(0, occupied.size - words + 1, COLUMN_STEP)
    free = filled[starts + words] == filled[starts]
    return int(starts[np.argmax(free)])
