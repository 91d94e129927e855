"""Where every tensor lies on the 64 processors, so that weight memory is used evenly.

Every active input processor of a layer holds that layer's kernels, so the tensors' places decide
how full each weight memory gets. Maps start at multiples of four: then no column is lost to gaps,
and neighbouring tensors never share a 32-bit word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nibblefit_maxim.memory.arrangement import Arrangement
from nibblefit_maxim.memory.feed import Feed
from nibblefit_maxim.memory.kernels import excess_words, place_columns
from nibblefit_maxim.memory.processors import contiguous, passthrough_output
from nibblefit_maxim.parts import PROCESSORS, PROCESSORS_PER_INSTANCE, Part

Loads = npt.NDArray[np.int64]
#: How often a group is moved to lower the fullest processor before giving up.
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Maps:
    """Processor maps by copy, and the weight columns that follow from them.

    Attributes:
        copies: Map of each copy.
        inputs: Map each step reads from.
        columns: Start column of each step's weights; −1 without weights.
        used: Used columns per processor; see `place_columns`.
    """

    copies: tuple[int, ...]
    inputs: tuple[int, ...]
    columns: tuple[int, ...]
    used: tuple[int, ...]

    def lacks(self, part: Part) -> int:
        """Return the words that the fullest processor lacks; negative: what it has left."""
        return max(excess_words(self.used, part))


@dataclass(slots=True)
class _Group:
    """Copies that move together: span relative to the group's origin, and words there."""

    number: int
    low: int
    high: int
    words: Loads
    is_first: bool

    def starts(self) -> range:
        """Return the processors where its lowest one may lie."""
        if self.is_first:
            return range(1)
        return range(0, PROCESSORS - (self.high - self.low) + 1, PROCESSORS_PER_INSTANCE)


def choose_maps(arrangement: Arrangement, feed: Feed, part: Part) -> Maps:
    """Return maps that balance weight memory.

    Groups are placed from the one with most weights to the smallest, each where the fullest of
    its processors stays emptiest; the network's input lies at processor 0. If the result is too
    full, groups are moved one at a time as long as that helps.
    """
    groups = list(_groups(arrangement, feed))
    load = np.zeros(PROCESSORS, dtype=np.int64)
    starts: dict[int, int] = {}
    for group in sorted(groups, key=lambda g: (not g.is_first, -int(g.words.sum()), g.number)):
        starts[group.number] = _best_start(group, load)
        _add(load, group, starts[group.number], 1)
    maps = _maps(arrangement, feed, groups, starts, part)
    for _ in range(_ROUNDS):
        if maps.lacks(part) <= 0 or not _improve(groups, starts, load):
            break
        better = _maps(arrangement, feed, groups, starts, part)
        maps = min(maps, better, key=lambda m: m.lacks(part))
    return maps


def _groups(arrangement: Arrangement, feed: Feed) -> Iterator[_Group]:
    joints = arrangement.joints
    seats = [joints.seat(copy.number) for copy in arrangement.copies]
    for number, low, high in joints.groups():
        words = np.zeros(high - low, dtype=np.int64)
        for index, step in enumerate(arrangement.steps):
            weight = feed.need(index, step.need).kernel_words
            for copy in step.reads if weight else ():
                seat = seats[copy]
                if seat.group == number and not (copy == 0 and feed.input_map):
                    first = seat.distance - low
                    words[first : first + seat.width] += weight
                if arrangement.copies[copy].gap:
                    break  # all of them lie on the same processors
        yield _Group(number, low, high, words, seats[0].group == number)


def _best_start(group: _Group, load: Loads) -> int:
    size = group.high - group.low

    def fullness(start: int) -> tuple[int, int, int]:
        after = load[start : start + size] + group.words
        return (
            int(after.max()),
            int((after * after).sum() - (load[start : start + size] ** 2).sum()),
            start,
        )

    return min(group.starts(), key=fullness)


def _add(load: Loads, group: _Group, start: int, sign: int) -> None:
    load[start : start + group.high - group.low] += sign * group.words


def _improve(groups: Sequence[_Group], starts: dict[int, int], load: Loads) -> bool:
    """Move each group once to where the sum of squared loads is least; False if none moved."""
    moved = False
    for group in groups:
        old = starts[group.number]
        _add(load, group, old, -1)

        def squares(start: int, group: _Group = group) -> int:
            after = load.copy()
            _add(after, group, start, 1)
            return int((after * after).sum())

        new = min(group.starts(), key=lambda s: (squares(s), s != old, s))
        moved |= new != old
        starts[group.number] = new
        _add(load, group, new, 1)
    return moved


def _maps(
    arrangement: Arrangement,
    feed: Feed,
    groups: Sequence[_Group],
    starts: dict[int, int],
    part: Part,
) -> Maps:
    origins = {group.number: starts[group.number] - group.low for group in groups}
    found = []
    for copy in arrangement.copies:
        seat = arrangement.joints.seat(copy.number)
        found.append(contiguous(origins[seat.group] + seat.distance, copy.processors))
    if feed.input_map:
        found[0] = feed.input_map
    inputs = []
    for step in arrangement.steps:
        read = 0
        for number in step.reads:
            read |= found[number]
        inputs.append(read)
        if not step.need.layer.has_weights:
            found[step.writes] = passthrough_output(read)
    needs = [feed.need(index, step.need) for index, step in enumerate(arrangement.steps)]
    columns, used = place_columns(needs, inputs, part)
    return Maps(tuple(found), tuple(inputs), tuple(columns), tuple(used))
