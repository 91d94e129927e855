"""An image folder: one sub-folder per class, optionally under train/, val/ and test/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from nibblefit.data.image_files import SUFFIXES, ImageFiles
from nibblefit.data.material import Material
from nibblefit.data.options import ReaderOptions, read_options
from nibblefit.data.scaling import UINT8_FULL_SCALE
from nibblefit.errors import InputError

#: Names of the sub-folders of a data set that is already split.
TRAIN, VALIDATION, TEST = "train", ("val", "validation", "valid"), "test"
#: Decoded sets up to this size are kept in memory; larger ones are decoded batch by batch.
MEMORY_BYTES = 512 * 2**20


class FolderOptions(ReaderOptions):
    """Options of source ``folder``."""

    size: int | tuple[int, int] | None = Field(
        default=None, description="Side, or [height, width], every picture is resized to."
    )
    gray: bool = Field(default=False, description="Read one channel instead of three.")


def read_folder(folder: Path, options: Mapping[str, Any]) -> Material:
    """Read an image folder; classes are the sub-folder names in alphabetical order."""
    wanted = read_options(FolderOptions, options, "folder")
    roots = _roots(folder)
    names = _class_names(roots[0])
    paths: list[Path] = []
    labels: list[int] = []
    bounds = [0]
    for root in roots:
        if root is not None:
            _collect(root, names, paths, labels)
        bounds.append(len(paths))
    if bounds[1] == 0:
        raise InputError(
            f"{roots[0]} holds no pictures in class folders",
            hint=f"expected CLASS/picture with one of {', '.join(sorted(SUFFIXES))}",
        )
    size = (wanted.size, wanted.size) if isinstance(wanted.size, int) else wanted.size
    files = ImageFiles(paths, size, gray=wanted.gray)
    return Material(
        inputs=files[:] if files.bytes <= MEMORY_BYTES else files,
        targets=np.asarray(labels, np.int64),
        lowest=0.0,
        full=UINT8_FULL_SCALE,
        class_names=names,
        validation=np.arange(bounds[1], bounds[2]) if roots[1] else None,
        test=np.arange(bounds[2], bounds[3]) if roots[2] else None,
    )


def _roots(folder: Path) -> tuple[Path, Path | None, Path | None]:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", hint="check data.path")
    if not (folder / TRAIN).is_dir():
        return folder, None, None
    validation = next((folder / name for name in VALIDATION if (folder / name).is_dir()), None)
    test = folder / TEST
    return folder / TRAIN, validation, test if test.is_dir() else None


def _class_names(root: Path) -> tuple[str, ...]:
    names = sorted(
        entry.name for entry in root.iterdir() if entry.is_dir() and entry.name[0] not in "._"
    )
    if not names:
        raise InputError(f"{root} holds no class folders", hint="expected CLASS/picture.png")
    return tuple(names)


def _collect(root: Path, names: Sequence[str], paths: list[Path], labels: list[int]) -> None:
    unknown = set(_class_names(root)) - set(names)
    if unknown:
        raise InputError(
            f"{root} holds classes without training pictures: {', '.join(sorted(unknown))}",
            hint="use the same class folders in train, val and test",
        )
    for number, name in enumerate(names):
        folder = root / name
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
        paths += found
        labels += [number] * len(found)
