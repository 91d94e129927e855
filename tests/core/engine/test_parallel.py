"""Chunks side by side: order, errors, interrupts and torch's thread settings."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

from nibblefit.engine.numerics_guard import using_threads
from nibblefit.engine.parallel import in_parallel


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("parts", [0, 1, 2, 7])
def test_results_come_in_the_order_of_the_parts(workers: int, parts: int) -> None:
    """Whoever computes a part, and whenever, its result has its place."""

    def square(part: int) -> int:
        time.sleep(0.001 * (part % 3))
        return part * part

    with using_threads(1):
        found = in_parallel(square, range(parts), workers)
    assert found == [part * part for part in range(parts)]


def test_several_threads_take_part() -> None:
    """Two parts that wait for each other can only finish on two threads."""
    meeting = threading.Barrier(2)

    def meet(_: int) -> int:
        meeting.wait(timeout=30)
        return threading.get_ident()

    with using_threads(1):
        assert len(set(in_parallel(meet, range(2), 2))) == 2


def test_every_thread_computes_with_one_thread_of_its_own() -> None:
    """OpenMP counts per calling thread: helpers with its default would crowd the processors."""
    meeting = threading.Barrier(3)

    def threads(_: int) -> int:
        meeting.wait(timeout=30)
        return torch.get_num_threads()

    before = torch.get_num_threads()
    with using_threads(1):
        assert in_parallel(threads, range(3), 3) == [1, 1, 1]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_first_part_that_fails_decides_the_error(workers: int) -> None:
    """Errors do not depend on which thread was faster."""

    def fail(part: int) -> int:
        if part >= 2:
            time.sleep(0.01 if part == 2 else 0.0)
            raise ValueError(f"part {part}")
        return part

    for _ in range(5):
        with using_threads(1), pytest.raises(ValueError, match="part 2"):
            in_parallel(fail, range(6), workers)


def test_nothing_more_is_started_after_an_error() -> None:
    """A failing part ends the work; the parts behind it are not computed."""
    seen: list[int] = []

    def fail(part: int) -> int:
        seen.append(part)
        raise ValueError("always")

    with using_threads(1), pytest.raises(ValueError, match="always"):
        in_parallel(fail, range(1000), 2)
    assert len(seen) <= 2


def test_two_callers_share_the_helpers() -> None:
    """Engines used from two threads at once both finish, with their own results."""
    found: dict[int, list[int]] = {}

    def caller(offset: int) -> None:
        found[offset] = in_parallel(lambda part: part + offset, range(50), 2)

    with using_threads(1):
        callers = [threading.Thread(target=caller, args=(o,)) for o in (0, 100)]
        for one in callers:
            one.start()
        for one in callers:
            one.join(timeout=30)
    for offset in (0, 100):
        np.testing.assert_array_equal(found[offset], np.arange(50) + offset)
