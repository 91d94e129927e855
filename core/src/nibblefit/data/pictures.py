"""A folder of pictures without labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field, field_validator

from nibblefit.data.image_files import SUFFIXES, ImageFiles, picture_size
from nibblefit.data.material import Material
from nibblefit.data.options import ReaderOptions
from nibblefit.data.scaling import UINT8_FULL_SCALE
from nibblefit.errors import InputError


class PictureOptions(ReaderOptions):
    """Options of source ``pictures``."""

    size: int | tuple[int, int] | None = Field(
        default=None, description="Side, or [height, width], every picture is resized to."
    )
    gray: bool | None = Field(
        default=None,
        description="Read one channel, or three; unset as many as the network has.",
    )

    @field_validator("size")
    @classmethod
    def _size_is_positive(cls, value: int | tuple[int, int] | None) -> int | tuple[int, int] | None:
        if value is not None and min(np.ravel(value)) < 1:
            raise ValueError("one number above 0, or two")
        return value


def read_pictures(folder: Path, options: PictureOptions, wanted: tuple[int, ...]) -> Material:
    """Read every picture below a folder, in the order of their paths; they are decoded when used.

    Args:
        folder: May have folders inside; other files in it are passed over.
        options: See `PictureOptions`.
        wanted: Shape of the network's input; pictures that are not resized must have its size.

    Raises:
        InputError: No folder, no picture in it, one that is damaged or has another size.
    """
    if not folder.is_dir():
        kind = "a file, no folder" if folder.exists() else "not there"
        raise InputError(f"the folder {folder} of calibration pictures is {kind}",
                         hint="check calibration.path")  # fmt: skip
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    paths = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not paths:
        there = f"only other files, such as {files[0].name}" if files else "it is empty"
        raise InputError(f"the folder {folder} holds no calibration pictures: {there}",
                         hint=f"put in files of {', '.join(sorted(SUFFIXES))}")  # fmt: skip
    size = (options.size, options.size) if isinstance(options.size, int) else options.size
    for path in paths:
        _check(path, size, wanted)
    gray = wanted[0] == 1 if options.gray is None else options.gray
    return Material(ImageFiles(paths, size or tuple(wanted[-2:]), gray=gray), None, 0.0,  # type: ignore[arg-type]
                    UINT8_FULL_SCALE)  # fmt: skip


def _check(path: Path, size: tuple[int, int] | None, wanted: tuple[int, ...]) -> None:
    """Refuse a picture that cannot be read, or would have to be resized without being told so."""
    found = picture_size(path)
    if size is None and found != tuple(wanted[-2:]):
        raise InputError(
            f"{path} is {found[0]} × {found[1]} pixels, the network takes "
            f"{' × '.join(map(str, wanted[-2:]))}",
            hint="set calibration.options = {size = N} or {size = [height, width]} to resize",
        )
