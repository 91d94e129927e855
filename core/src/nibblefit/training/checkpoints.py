"""Checkpoints of a training in progress: whole or absent, and never executed.

A file is one line of magic, one line with the SHA-256 of the rest, and the rest: a torch archive
of tensors, numbers and strings. It is written beside its final name, synced and renamed, so a kill
leaves the checkpoint before it. Reading checks the digest first and then unpickles with
``weights_only=True``, which builds tensors and plain values only.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from nibblefit.errors import InputError, WorkspaceError

_MAGIC = b"nibblefit training checkpoint 1\n"
_NAME = re.compile(r"epoch-(\d{6})\.ckpt")
#: Checkpoints kept: the latest, and one to fall back on.
KEPT = 2


def save_checkpoint(folder: Path, epoch: int, state: dict[str, Any]) -> Path:
    """Write the checkpoint after `epoch` finished epochs and drop older ones.

    Raises:
        WorkspaceError: The disk is full or the folder cannot be written.
    """
    archive = io.BytesIO()
    torch.save(state, archive)
    payload = archive.getbuffer()
    digest = hashlib.sha256(payload).hexdigest().encode()
    path = folder / f"epoch-{epoch:06d}.ckpt"
    draft = path.with_suffix(".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(_MAGIC + digest + b"\n")
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)  # noqa: PTH105 - the atomic call, named
        for old in _paths(folder)[KEPT:]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise WorkspaceError(
            f"checkpoint {path} cannot be written: {error.strerror}",
            hint="check space and permissions; the previous checkpoint is untouched",
        ) from error
    return path


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return what was saved.

    Raises:
        InputError: Unreadable, truncated, changed, or holding more than tensors and plain values.
    """
    try:
        content = path.read_bytes()
        magic, digest, payload = _divide(content)
        if magic != _MAGIC or hashlib.sha256(payload).hexdigest().encode() + b"\n" != digest:
            raise InputError(f"checkpoint {path} is damaged: its SHA-256 does not match")
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(f"checkpoint {path} cannot be read: {error}") from error
    if not isinstance(state, dict):
        raise InputError(f"checkpoint {path} holds {type(state).__name__}, expected a mapping")
    return state


def checkpoints(folder: Path) -> Iterator[tuple[Path, dict[str, Any] | InputError]]:
    """Yield the folder's checkpoints, newest first: the content, or why there is none."""
    for path in _paths(folder):
        try:
            yield path, load_checkpoint(path)
        except InputError as error:
            yield path, error


def _divide(content: bytes) -> tuple[bytes, bytes, memoryview]:
    start = len(_MAGIC)
    return content[:start], content[start : start + 65], memoryview(content)[start + 65 :]


def _paths(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    return sorted(found, key=lambda path: path.name, reverse=True)
