"""Weight memory: the columns of every layer.

Every active input processor of a layer holds that layer's kernels for its own channel, at one
start column that is the same on all of them. Layers on disjoint processors therefore share
columns.

Source: ai8x-synthesis commit ab4f4c0, `izer/kernels.py`: layers on all 64 processors are placed
first, then the others in order; first fit, start columns in steps of four. Depthwise layers lie
inside one memory of 1024 words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.processors import bits
from nibblefit_maxim.parts import PROCESSORS, Part

#: Start columns are multiples of this.
COLUMN_STEP = 4
#: Words of one memory of a processor; a depthwise layer's words do not cross its end.
_MEMORY_WORDS = 1024


def place_columns(
    needs: Sequence[LayerNeeds],
    input_maps: Sequence[int],
    part: Part,
    sizes: Sequence[int] = (),
) -> tuple[list[int], list[int]]:
    """Return the start column per layer (−1 without weights) and the highest used column per
    processor, which may exceed what the part has.

    Args:
        needs: The layers.
        input_maps: Processors that each reads from.
        part: The device.
        sizes: Words of each layer, where its map of outputs has gaps; empty: as it needs.
    """
    sizes = sizes or [need.kernel_words for need in needs]
    room = sum(-(-size // COLUMN_STEP) * COLUMN_STEP for size in sizes) + COLUMN_STEP
    if part.has_depthwise:
        room += _MEMORY_WORDS
    taken = np.zeros((PROCESSORS, room), dtype=bool)
    columns = [-1] * len(needs)
    order = sorted(range(len(needs)), key=lambda i: (input_maps[i].bit_count() != PROCESSORS, i))
    for index in order:
        words = sizes[index]
        if words == 0:
            continue
        active = list(bits(input_maps[index]))
        limit = _MEMORY_WORDS if needs[index].layer.groups > 1 else room
        columns[index] = _first_fit(taken[active].any(axis=0), words, limit)
        taken[active, columns[index] : columns[index] + words] = True
    used = [int(row.nonzero()[0][-1]) + 1 if row.any() else 0 for row in taken]
    return columns, used


def _first_fit(
    occupied: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], words: int, memory: int
) -> int:
    """Return the first multiple of the column step with `words` free columns from there on, all
    in one memory of `memory` columns.
    """
    filled = np.concatenate(([0], np.cumsum(occupied)))
    starts = np.arange(0, occupied.size - words + 1, COLUMN_STEP)
    free = filled[starts + words] == filled[starts]
    free &= starts // memory == (starts + words - 1) // memory
    return int(starts[np.argmax(free)])
