"""How a batch is divided: chunks bounded, threads used only where they repay."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.engine.tuning import Work, divide

SMALL, LARGE = Work(1 << 20, 1 << 17), Work(1 << 31, 1 << 27)


@given(
    st.integers(0, 500), st.integers(1, 100), st.integers(1, 8), st.sampled_from((SMALL, LARGE)),
    st.booleans(),
)  # fmt: skip
def test_chunks_are_bounded_and_threads_get_equal_shares(
    count: int, chunk: int, threads: int, work: Work, in_order: bool
) -> None:
    """No chunk exceeds its bound; the busiest thread has at most one chunk above its share."""
    division = divide(count, chunk, threads, work, in_order=in_order)
    assert 1 <= division.size <= chunk
    assert 1 <= division.workers <= threads
    rounds = math.ceil(math.ceil(count / division.size) / division.workers)
    assert rounds * division.size <= -(-count // division.workers) + chunk
    assert division.inside == 1 or division.workers == 1
    if in_order:
        assert division.workers == 1


@pytest.mark.parametrize(
    ("count", "work", "workers", "inside"),
    [
        (1, SMALL, 1, 1),
        (8, SMALL, 1, 1),
        (128, SMALL, 2, 1),
        (1, LARGE, 1, 2),
        (2, LARGE, 2, 1),
        (9, LARGE, 2, 1),
    ],
)
def test_threads_are_used_where_they_repay(
    count: int, work: Work, workers: int, inside: int
) -> None:
    """Single images of large layers share an operation; batches share images; little work waits."""
    division = divide(count, 16, 2, work, in_order=False)
    assert (division.workers, division.inside) == (workers, inside)


def test_equal_chunks_for_all_threads() -> None:
    """Nineteen images at most sixteen at once make two chunks of ten and nine, not 16 and 3."""
    assert divide(19, 16, 2, LARGE, in_order=False).size == 10
    assert divide(40, 16, 2, LARGE, in_order=False).size == 10
