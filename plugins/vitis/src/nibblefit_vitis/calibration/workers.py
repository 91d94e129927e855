"""Chunks of samples side by side, one thread each, instead of threads inside operations.

Nobody waits at the end of every small operation, and results do not depend on the number of
threads, because each is computed by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import torch

from nibblefit.engine.parallel import in_parallel

Part = TypeVar("Part")
Result = TypeVar("Result")


@contextmanager
def workers() -> Iterator[int]:
    """Let operations use one thread each; yields how many parts may run side by side."""
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield number
    finally:
        torch.set_num_threads(number)


def side_by_side(run: Callable[[Part], Result], parts: Sequence[Part], number: int) -> list[Result]:
    """Return ``run(part)`` of every part, in order, without gradients; inside `workers`.

    Raises:
        Whatever `run` raises, for the first part that fails.
    """

    def without_gradients(part: Part) -> Result:
        with torch.inference_mode():
            return run(part)

    if number <= 1 or len(parts) <= 1:
        return [without_gradients(part) for part in parts]
    return in_parallel(without_gradients, parts, number)


def taken(parts: Iterable[Part], number: int) -> Iterator[list[Part]]:
    """Yield the parts in lists of `number`; the last one may be shorter."""
    left = iter(parts)
    while found := list(islice(left, number)):
        yield found
