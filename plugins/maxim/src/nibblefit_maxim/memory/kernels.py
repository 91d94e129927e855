"""Weight memory: the columns of every layer.

Every active input processor of a layer holds that layer's kernels for its own channel, at one
start column that is the same on all of them. Layers on disjoint processors therefore share
columns.

Source: ai8x-synthesis commit ab4f4c0, `izer/kernels.py`: layers on all 64 processors are placed
first, then the others in order; first fit, start columns in steps of four. Layers that read only
on processors with more memory than the rest are placed from its end downward. Depthwise layers lie
inside one memory: of 1,024 words, of 256 at that end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.processors import bits
from nibblefit_maxim.parts import PROCESSORS, PROCESSORS_PER_QUADRANT, Part

#: Start columns are multiples of this.
COLUMN_STEP = 4
#: Words of one memory of a processor; a depthwise layer's words do not cross its end.
_MEMORY_WORDS = 1024
#: Words of one of the further memories of the first processor of each quadrant.
_EXTRA_MEMORY_WORDS = 256

_Row: TypeAlias = npt.NDArray[np.bool_]


def place_columns(
    needs: Sequence[LayerNeeds],
    input_maps: Sequence[int],
    part: Part,
    sizes: Sequence[int] = (),
) -> tuple[list[int], list[int]]:
    """Return the start column per layer (−1 without weights) and the used columns per processor,
    which may exceed what it has.

    Columns count as used up to the highest one, and from the lowest one of those at the end.

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
    end = part.kernel_room(0)
    taken = np.zeros((PROCESSORS, max(room, end)), dtype=np.bool_)
    columns = [-1] * len(needs)
    used = [0] * PROCESSORS
    from_end = [0] * PROCESSORS
    for index in _order(input_maps):
        words = sizes[index]
        if words == 0:
            continue
        active = list(bits(input_maps[index]))
        is_depthwise = needs[index].layer.groups > 1
        occupied: npt.NDArray[np.bool_] = np.logical_or.reduce(taken[active], axis=0)
        is_special = part.extra_kernel_words and not any(
            p % PROCESSORS_PER_QUADRANT for p in active
        )
        column = _last_fit(occupied[:end], words, is_depthwise) if is_special else -1
        fill, reach = from_end, end - column
        if column < 0:
            column = _first_fit(occupied, words, is_depthwise)
            fill, reach = used, column + words
        for processor in active:
            fill[processor] = max(fill[processor], reach)
        taken[active, column : column + words] = True
        columns[index] = column
    return columns, [low + high for low, high in zip(used, from_end, strict=True)]


def excess_words(used: Sequence[int], part: Part) -> list[int]:
    """Return how many words each processor lacks; negative ones are left over."""
    return [words - part.kernel_room(processor) for processor, words in enumerate(used)]


def _order(input_maps: Sequence[int]) -> Iterator[int]:
    yield from sorted(
        range(len(input_maps)), key=lambda i: (input_maps[i].bit_count() != PROCESSORS, i)
    )


def _first_fit(occupied: _Row, words: int, is_depthwise: bool) -> int:
    """Return the first multiple of the column step with `words` free columns from there on."""
    filled = np.concatenate(([0], np.cumsum(occupied)))
    starts = np.arange(0, occupied.size - words + 1, COLUMN_STEP)
    free = filled[starts + words] == filled[starts]
    if is_depthwise:
        # The compiler compares one word further than the layer reaches.
        free &= (starts + 1) // _MEMORY_WORDS == (starts + words) // _MEMORY_WORDS
    return int(starts[np.argmax(free)])


def _last_fit(occupied: _Row, words: int, is_depthwise: bool) -> int:
    """Return the last multiple of the column step with `words` free columns from there on; −1 if
    there is none, or the layer is depthwise and larger than a memory at the end.
    """
    if words > (_EXTRA_MEMORY_WORDS if is_depthwise else occupied.size):
        return -1
    filled = np.concatenate(([0], np.cumsum(occupied)))
    starts = np.arange(0, occupied.size - words + 1, COLUMN_STEP)
    free = filled[starts + words] == filled[starts]
    if is_depthwise:
        inside = starts // _EXTRA_MEMORY_WORDS == (starts + words - 1) // _EXTRA_MEMORY_WORDS
        free &= inside
    found = starts[free]
    return int(found[-1]) if found.size else -1
