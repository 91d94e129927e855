"""Pictures to compose objects over."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nibblefit.data.image_files import SUFFIXES, ImageFiles
from nibblefit.errors import InputError
from nibblefit_tidl.recording.frames import Picture


def pictures_of(folder: Path) -> tuple[Picture, ...]:
    """Return the pictures of a folder, RGB, in the order of their names.

    Raises:
        InputError: No folder, fewer than two pictures, or one that cannot be decoded.
    """
    paths = (
        sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        if folder.is_dir()
        else []
    )
    if len(paths) < 2:
        raise InputError(
            f"{folder} holds {len(paths)} pictures, at least 2 are needed",
            hint="half of them serve training, half validation; without --backgrounds textures "
            "are drawn",
        )
    return tuple(
        np.ascontiguousarray(ImageFiles([path], None, gray=False)[[0]][0].transpose(1, 2, 0))
        for path in paths
    )
