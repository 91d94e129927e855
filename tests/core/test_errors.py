"""Errors that several commands make alike."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from nibblefit.errors import ExitCode, InputError, unreadable


@pytest.mark.parametrize(("number", "words"), [
    (errno.ENOENT, "check the path"), (errno.EISDIR, "this is a folder"),
    (errno.EACCES, "permissions"), (errno.EIO, "check the disk"),
])  # fmt: skip
def test_a_file_that_cannot_be_read_comes_with_a_remedy(number: int, words: str) -> None:
    """One line with the system's reason, one with what to do, status 2."""
    found = unreadable("net.onnx", OSError(number, "the system's reason"))
    assert isinstance(found, InputError)
    assert found.exit_code == ExitCode.USAGE
    assert found.what == "net.onnx cannot be read: the system's reason"
    assert words in found.hint


def test_errors_without_a_number_are_said_too(tmp_path: Path) -> None:
    """Libraries raise OSError with a text alone."""
    assert unreadable(tmp_path, OSError("lost")).what == f"{tmp_path} cannot be read: lost"
