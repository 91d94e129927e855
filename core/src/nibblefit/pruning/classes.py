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
        self._parents = [KEPT]

    def fresh(self, count: int) -> Ids:
        """Return new ids, each a class of its own."""
        start = len(self._parents)
        self._parents.extend(range(start, start + count))
        return np.arange(start, start + count)

    def join(self, a: Ids, b: Ids) -> None:
        """Join ids pairwise; both have the same length."""
        for one, other in set(zip(a.tolist(), b.tolist(), strict=True)):
            first, second = self._root(one), self._root(other)
            if first != second:
                self._parents[max(first, second)] = min(first, second)

    def join_rows(self, ids: Ids) -> None:
        """Join all ids of each column: the rows of a matrix become the same classes."""
        for row in ids[1:]:
            self.join(ids[0], row)

    def keep(self, ids: Ids) -> None:
        """Let ids stay for good."""
        self.join(ids, np.zeros_like(ids))

    def of(self, ids: Ids) -> Ids:
        """Return the class of every id."""
        unique, places = np.unique(ids, return_inverse=True)
        roots = np.array([self._root(one) for one in unique.tolist()], dtype=np.int64)
        return roots[places].reshape(ids.shape)

    def _root(self, one: int) -> int:
        parents = self._parents
        while parents[one] != one:
            parents[one] = parents[parents[one]]
            one = parents[one]
        return one
