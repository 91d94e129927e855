"""Arithmetic settings of torch that could change integers, held fixed while the engine runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def exact_arithmetic(threads: int | None = None) -> Iterator[None]:
    """Forbid reduced precision, Winograd (NNPACK) and autocast; set the thread count meanwhile.

    All settings are restored afterwards, so a training run around the engine keeps its own.
    """
    precision, before = torch.get_float32_matmul_precision(), torch.get_num_threads()
    changes_threads = threads is not None and threads != before
    if precision != "highest":
        torch.set_float32_matmul_precision("highest")
    if changes_threads and threads is not None:
        torch.set_num_threads(threads)
    try:
        with (
            torch.autocast("cpu", enabled=False),
            torch.autocast("cuda", enabled=False),
            torch.backends.nnpack.flags(enabled=False),
            torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ),  # fmt: skip
        ):
            yield
    finally:
        if precision != "highest":
            torch.set_float32_matmul_precision(precision)
        if changes_threads:
            torch.set_num_threads(before)
