"""Several chunks of images at once, one thread each.

Whole chunks side by side scale better than threads inside operations: nobody waits at the end of
every small operation. torch releases Python's lock while it computes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import Generic, TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")


@dataclass(slots=True)
class _Round(Generic[Part, Result]):
    """Parts that several threads claim one after the other, and what became of them."""

    run: Callable[[Part], Result]
    parts: Sequence[Part]
    results: dict[int, Result] = field(default_factory=dict)
    errors: dict[int, BaseException] = field(default_factory=dict)
    claims: count[int] = field(default_factory=count)

    def work(self) -> None:
        """Compute parts until none is left, or one has failed."""
        # `next` on a counter is atomic under Python's lock.
        while not self.errors and (index := next(self.claims)) < len(self.parts):
            try:
                self.results[index] = self.run(self.parts[index])
            except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
                self.errors[index] = error


def in_parallel(run: Callable[[Part], Result], parts: Sequence[Part], workers: int) -> list[Result]:
    """Return ``run(part)`` of every part, in order; the calling thread is one of the workers.

    To be called while torch's own setting is one thread: the helpers keep what they start with.

    Raises:
        Whatever `run` raises, for the first part that fails.
    """
    shared = _Round(run, parts)
    helpers = min(workers, len(parts)) - 1
    waiting = [_helpers(workers - 1, os.getpid()).submit(shared.work) for _ in range(helpers)]
    shared.work()
    # A helper that is busy for another engine has nothing to do here any more.
    try:
        wait([future for future in waiting if not future.cancel()])
    except BaseException:  # an interrupt: let the helpers stop at the part they are at
        shared.parts = ()
        raise
    if shared.errors:
        raise shared.errors[min(shared.errors)]
    return [shared.results[index] for index in range(len(parts))]


@lru_cache(maxsize=4)
def _helpers(number: int, process: int) -> ThreadPoolExecutor:  # noqa: ARG001 - part of the key
    """Return threads that stay for later calls; a forked process needs new ones.

    OpenMP counts threads per thread that calls it: a helper would by default use as many as the
    main thread may, and both together twice the processors.
    """
    pool = ThreadPoolExecutor(
        number, thread_name_prefix="nibblefit-engine", initializer=torch.set_num_threads,
        initargs=(1,),
    )  # fmt: skip
    # All threads start now, not at some later submission: see the caller's duty above.
    started = threading.Barrier(number + 1)
    for _ in range(number):
        pool.submit(_settle, started)
    started.wait()
    return pool


def _settle(started: threading.Barrier) -> None:
    torch.get_num_threads()  # torch adopts the process-wide setting at a thread's first question
    started.wait()
