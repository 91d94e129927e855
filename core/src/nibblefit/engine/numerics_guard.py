"""Arithmetic settings of torch that could change integers, held fixed while the engine runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

#: Settings that mean full float32; "none" is the default where nothing reduces it.
_FULL = ("ieee", "none")


@contextmanager
def exact_arithmetic(threads: int | None = None, device: str = "cpu") -> Iterator[None]:
    """Forbid reduced precision, Winograd (NNPACK) and autocast; set the thread count meanwhile.

    All settings are restored afterwards, so a training run around the engine keeps its own.
    """
    with ExitStack() as stack:
        for name in ("cpu", "cuda"):
            if torch.is_autocast_enabled(name):
                stack.enter_context(torch.autocast(name, enabled=False))
        stack.enter_context(torch.backends.nnpack.flags(enabled=False))
        stack.enter_context(_full_precision(torch.backends.mkldnn))
        if device == "cuda":
            stack.enter_context(_exact_cuda())
        stack.enter_context(using_threads(threads))
        yield


@contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """Let torch's operations use `count` threads; None leaves the setting as it is."""
    before = torch.get_num_threads()
    if count is None or count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _full_precision(library: Any) -> Iterator[None]:
    """Hold full float32 in a library's convolutions and matrix products.

    torch before 2.9 has one setting for all libraries. Where a newer one is used, reading the old
    one may raise, so only one of them is touched.
    """
    parts = [getattr(library, name, None) for name in ("matmul", "conv")]
    if not all(hasattr(part, "fp32_precision") for part in parts):
        with _full_matmul_precision():
            yield
        return
    changed = [(p, p.fp32_precision) for p in parts if p and p.fp32_precision not in _FULL]
    for part, _ in changed:
        part.fp32_precision = "ieee"
    try:
        yield
    finally:
        for part, before in changed:
            part.fp32_precision = before


@contextmanager
def _full_matmul_precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    if before != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        if before != "highest":
            torch.set_float32_matmul_precision(before)


@contextmanager
def _exact_cuda() -> Iterator[None]:
    with (
        _full_matmul_precision(),
        torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        ),
    ):
        yield
