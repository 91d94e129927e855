"""Offsets of blocks in data memory: no two that are alive together overlap."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from nibblefit_maxim.memory.blocks import Block
from nibblefit_maxim.memory.needs import DATA_WORD_BYTES

#: Round addresses that are tried first: eighths of 64 KiB, readable in a file.
_ROUND = 0x2000
#: Orders tried at random when no ordinary one fits.
_RANDOM_ORDERS = 150


def place_blocks(blocks: Sequence[Block], memory: int) -> dict[int, int] | None:
    """Return an offset per block number; None if none was found.

    Round addresses come first, with every block kept apart everywhere, as people write it. Then
    the limits are used to the full: any address, and blocks in different instances at the same
    one.
    """
    for anywhere in (True, False):
        meets = _meetings(blocks, anywhere=anywhere)
        for order, is_round, both_ends in _strategies(len(blocks), blocks):
            placed = _place(order, blocks, meets, memory, is_round=is_round, both_ends=both_ends)
            if placed is not None:
                return {blocks[i].number: at + blocks[i].lead for i, at in placed.items()}
    return None


def _meetings(blocks: Sequence[Block], *, anywhere: bool) -> list[list[int]]:
    return [
        [j for j, other in enumerate(blocks) if j != i and block.meets(other, anywhere=anywhere)]
        for i, block in enumerate(blocks)
    ]


def _strategies(count: int, blocks: Sequence[Block]) -> Iterator[tuple[list[int], bool, bool]]:
    """Yield orders of placing, whether addresses are round, and whether both ends are used."""
    in_time = list(range(count))
    by_size = sorted(in_time, key=lambda i: (-blocks[i].size, i))
    by_life = sorted(in_time, key=lambda i: (blocks[i].first - blocks[i].last, -blocks[i].size, i))
    yield in_time, True, False
    yield in_time, False, True
    for order in (by_size, by_life, in_time):
        yield order, False, False
    yield by_size, False, True
    shuffle = random.Random(0)
    for _ in range(_RANDOM_ORDERS if count > 2 else 0):
        order = list(in_time)
        shuffle.shuffle(order)
        yield order, False, shuffle.random() < 0.5


def _place(
    order: Sequence[int],
    blocks: Sequence[Block],
    meets: Sequence[Sequence[int]],
    memory: int,
    *,
    is_round: bool,
    both_ends: bool,
) -> dict[int, int] | None:
    placed: dict[int, int] = {}
    for index in order:
        size = blocks[index].size
        taken = sorted((placed[j], placed[j] + blocks[j].size) for j in meets[index] if j in placed)
        from_top = both_ends and index % 2 == 1
        offset = _find(taken, size, memory, is_round=is_round, from_top=from_top)
        if offset is None:
            return None
        placed[index] = offset
    return placed


def _find(
    taken: Sequence[tuple[int, int]], size: int, memory: int, *, is_round: bool, from_top: bool
) -> int | None:
    """Return the first free offset, round ones first, or the last one from the top."""
    if is_round:
        for offset in range(0, memory - size + 1, _ROUND):
            if all(offset + size <= low or high <= offset for low, high in taken):
                return offset
    best = None
    edge = 0
    for low, high in [*taken, (memory, memory)]:
        if low - edge >= size:
            if not from_top:
                return edge
            best = (low - size) // DATA_WORD_BYTES * DATA_WORD_BYTES
        edge = max(edge, high)
    return best
