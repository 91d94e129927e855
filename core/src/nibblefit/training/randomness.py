"""Random generators during training: chosen per epoch, given back afterwards."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_epoch(seed: int, epoch: int, process: int) -> None:
    """Seed every generator for one epoch of one process.

    An epoch's randomness (dropout, parts) then depends on nothing before it: a resumed training
    draws the same numbers, and no generator state has to be saved.
    """
    words = np.random.SeedSequence([seed & 0xFFFFFFFFFFFFFFFF, epoch, process + 1])
    torch_seed, other = (int(word) for word in words.generate_state(2, np.uint64))
    torch.manual_seed(torch_seed >> 1)
    random.seed(other)
    np.random.seed(other & 0xFFFFFFFF)  # noqa: NPY002 - user code may draw from the old generator


@contextmanager
def restored_generators() -> Iterator[None]:
    """Give the caller's generators their states back at the end."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - as above
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002 - as above


@contextmanager
def seeded(seed: int, epoch: int, process: int) -> Iterator[None]:
    """Seed as `seed_epoch` does, for a block."""
    with restored_generators():
        seed_epoch(seed, epoch, process)
        yield


@contextmanager
def deterministic() -> Iterator[None]:
    """Choose deterministic kernels where there are any; warn about none."""
    flags: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled()
    only_warn = torch.is_deterministic_algorithms_warn_only_enabled()
    filling = flags.fill_uninitialized_memory
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory finds reads of uninitialised values; here it would only cost time.
    flags.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warn)
        flags.fill_uninitialized_memory = filling
        torch.backends.cudnn.benchmark = benchmark
