"""Classes of channels that are kept or removed together (union-find)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]

#: The class of everything that must stay: inputs, outputs, and what no operator can lose.
KEPT = 0


class Classes:
    """Ids of channels, joined into classes; the smallest id names a class."""

    def __init__(self) -> None:
        self._parents: Ids = np.zeros(1, dtype=np.int64)
        self._count = 1

    def fresh(self, count: int) -> Ids:
        """Return new ids, each a class of its own."""
        start, self._count = self._count, self._count + count
        if self._count > len(self._parents):
            more = np.arange(len(self._parents), 2 * self._count)
            self._parents = np.concatenate([self._parents, more])
        return np.arange(start, self._count)

    def join(self, a: Ids, b: Ids) -> None:
        """Join ids pairwise; both have the same length."""
        if a.shape != b.shape:
            raise ValueError(f"ids of shapes {a.shape} and {b.shape} cannot be joined pairwise")
        one, other = self.of(a), self.of(b)
        while (differ := one != other).any():
            one, other = one[differ], other[differ]
            # Where a class meets several at once the smallest wins; the rest meet it next time.
            np.minimum.at(self._parents, np.maximum(one, other), np.minimum(one, other))
            one, other = self.of(one), self.of(other)

    def join_rows(self, ids: Ids) -> None:
        """Join all ids of each column: the rows of a matrix become the same classes."""
        for row in ids[1:]:
            self.join(ids[0], row)

    def keep(self, ids: Ids) -> None:
        """Let ids stay for good."""
        self.join(ids, np.zeros_like(ids))

    def of(self, ids: Ids) -> Ids:
        """Return the class of every id."""
        parents = self._parents
        found = parents[ids]
        while True:
            above = parents[found]
            if np.array_equal(above, found):
                break
            found = above
        parents[ids] = found
        return found
