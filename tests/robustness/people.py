"""Being someone with fewer rights."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.robustness.commands import EXAMPLES


@contextmanager
def nobody() -> Iterator[None]:
    """Give up the right to write everywhere, where this process has it."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@contextmanager
def closed_folder() -> Iterator[Path]:
    """Return a writable folder with the examples and a folder ``shut``, as seen by nobody."""
    place = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others altogether
    try:
        shutil.copytree(EXAMPLES, place / "examples")
        (place / "shut").mkdir(mode=0o000)
        place.chmod(0o777)
        with nobody():
            yield place
    finally:
        (place / "shut").chmod(0o755)
        shutil.rmtree(place)
