"""Several chunks of images at once, one thread each.

Whole chunks side by side scale better than threads inside operations: nobody waits at the end of
every small operation. torch releases Python's lock while it computes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from nibblefit.engine.numerics_guard import exact_arithmetic

Part = TypeVar("Part")
Result = TypeVar("Result")


def in_parallel(
    run: Callable[[Part], Result], parts: Iterable[Part], workers: int
) -> Iterator[Result]:
    """Yield ``run(part)`` in order, at most `workers` parts computed or waiting at a time.

    Operations use one thread while chunks are computed; the caller's setting is back whenever the
    caller has control.
    """
    source = iter(parts)
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="nibblefit-engine") as pool:
        while True:
            with exact_arithmetic(threads=1):
                missing = workers - len(waiting)
                waiting.extend(pool.submit(run, part) for part in islice(source, missing))
                if not waiting:
                    return
                finished = [future.result() for future in waiting]
            waiting.clear()
            yield from finished
