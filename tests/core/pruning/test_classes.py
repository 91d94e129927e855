"""Classes of channels: what is joined stays together, whatever the order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.pruning.classes import KEPT, Classes

COUNT = 24
pairs = st.lists(
    st.lists(st.tuples(st.integers(0, COUNT), st.integers(0, COUNT)), max_size=12), max_size=6
)


def smallest_reachable(joined: set[tuple[int, int]]) -> list[int]:
    """Return the smallest id that each id reaches over pairs, by following them one by one."""
    found = []
    for start in range(COUNT + 1):
        reached, waiting = {start}, [start]
        while waiting:
            here = waiting.pop()
            for pair in joined:
                if here in pair:
                    waiting += [one for one in pair if one not in reached]
                    reached.update(pair)
        found.append(min(reached))
    return found


@given(pairs)
def test_the_smallest_id_names_a_class(batches: list[list[tuple[int, int]]]) -> None:
    """After any batches of pairs, chains and repetitions within one included."""
    classes = Classes()
    classes.fresh(COUNT)
    for batch in batches:
        table = np.array(batch, dtype=np.int64).reshape(-1, 2)
        classes.join(table[:, 0], table[:, 1])
    expected = smallest_reachable({pair for batch in batches for pair in batch})
    assert classes.of(np.arange(COUNT + 1)).tolist() == expected


def test_fresh_ids_are_classes_of_their_own() -> None:
    """Also after earlier ones were joined, and in any number."""
    classes = Classes()
    first = classes.fresh(3)
    classes.keep(first)
    second = classes.fresh(1000)
    assert classes.of(first).tolist() == [KEPT] * 3
    assert np.array_equal(classes.of(second), second)
    assert len(classes.fresh(0)) == 0


def test_rows_join_column_by_column() -> None:
    """The rows of a matrix become the same classes, and its shape stays."""
    classes = Classes()
    ids = classes.fresh(6).reshape(3, 2)
    classes.join_rows(ids)
    assert classes.of(ids).tolist() == [[1, 2]] * 3


def test_arrays_of_different_lengths_are_not_joined() -> None:
    """A defect of a rule, which broadcasting must not hide."""
    classes = Classes()
    ids = classes.fresh(4)
    with pytest.raises(ValueError, match="pairwise"):
        classes.join(ids, ids[:1])
