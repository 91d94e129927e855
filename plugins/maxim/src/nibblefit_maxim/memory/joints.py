"""Which tensors must lie at known distances from each other on the processors.

A concatenation puts its members side by side, an element-wise operation puts its operands on the
same processors, a layer without convolution leaves them where they were. These wishes form groups
of tensors that move along the 64 processors only together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nibblefit_maxim.parts import PROCESSORS


@dataclass(frozen=True, slots=True)
class Seat:
    """A tensor's place in its group: group, distance from the group's origin, processors."""

    group: int
    distance: int
    width: int


class Joints:
    """Groups of tensors with fixed distances: a union-find whose links carry distances."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._distance: list[int] = []
        self._widths: list[int] = []
        self._low: list[int] = []
        self._high: list[int] = []

    def add(self, width: int) -> int:
        """Add a tensor that takes `width` processors; returns its number."""
        number = len(self._parent)
        self._parent.append(number)
        self._distance.append(0)
        self._widths.append(width)
        self._low.append(0)
        self._high.append(width)
        return number

    def seat(self, tensor: int) -> Seat:
        """Return where a tensor sits."""
        distance = 0
        root = tensor
        while self._parent[root] != root:
            distance += self._distance[root]
            root = self._parent[root]
        return Seat(root, distance, self._widths[tensor])

    def join(self, first: int, second: int, distance: int) -> bool:
        """Put `second` at `distance` from `first`; False, and nothing done, if that cannot be.

        It cannot if both already have another distance, or the group would not fit on the
        processors any more.
        """
        one, two = self.seat(first), self.seat(second)
        if one.group == two.group:
            return two.distance - one.distance == distance
        shift = one.distance + distance - two.distance
        low = min(self._low[one.group], self._low[two.group] + shift)
        high = max(self._high[one.group], self._high[two.group] + shift)
        if high - low > PROCESSORS:
            return False
        self._parent[two.group] = one.group
        self._distance[two.group] = shift
        self._low[one.group], self._high[one.group] = low, high
        return True

    def fits(self, members: Sequence[int], distances: Sequence[int]) -> bool:
        """Return whether all members can be joined at their distances from the first."""
        trial = self.copy()
        return all(
            trial.join(members[0], other, distance - distances[0])
            for other, distance in zip(members[1:], distances[1:], strict=True)
        )

    def copy(self) -> Joints:
        """Return an independent copy."""
        twin = Joints()
        twin._parent = list(self._parent)
        twin._distance = list(self._distance)
        twin._widths = list(self._widths)
        twin._low = list(self._low)
        twin._high = list(self._high)
        return twin

    def groups(self) -> Iterator[tuple[int, int, int]]:
        """Yield every group with the lowest and the highest processor, relative to its origin."""
        for number, parent in enumerate(self._parent):
            if parent == number:
                yield number, self._low[number], self._high[number]
