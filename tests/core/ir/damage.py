"""Damaged copies of stored files, for tests of every loader."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nibblefit.errors import InputError
from nibblefit.ir import archive


def assert_refused(load, place: Path) -> str:
    """Return the message; anything but one clear InputError fails the test."""
    with pytest.raises(InputError) as caught:
        load(place)
    assert str(place.name) in str(caught.value)
    return str(caught.value)


def damaged_copies(folder: Path, scratch: Path, count: int, seed: int):
    """Yield copies of a folder with one file truncated or one bit flipped."""
    rng = np.random.default_rng(seed)
    files = sorted(path.name for path in folder.iterdir() if path.stat().st_size)
    for index in range(count):
        copy = scratch / f"{folder.name}-{index}"
        shutil.copytree(folder, copy)
        path = copy / files[index % len(files)]
        content = bytearray(path.read_bytes())
        place = int(rng.integers(len(content)))
        if index % 3:
            content[place] ^= 1 << int(rng.integers(8))
        else:
            del content[place:]
        path.write_bytes(bytes(content))
        yield copy
        shutil.rmtree(copy)


def rewrite(path: Path, change) -> None:
    """Change the content of a JSON file and give it a matching checksum again."""
    whole = json.loads(path.read_text("utf-8"))
    change(whole["content"])
    archive.save_json(path, whole["kind"], whole["content"])
