"""Reading text files with errors for people."""

from __future__ import annotations

from pathlib import Path

from nibblefit.errors import InputError


def read_text(path: Path) -> str:
    """Return a text file's content; a byte-order mark is dropped.

    Raises:
        InputError: It is missing, a folder, or no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text file", hint="give the text, not a binary") from error
