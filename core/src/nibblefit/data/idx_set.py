"""A data set in IDX files: which files belong together, and what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nibblefit.data.idx import read_idx
from nibblefit.data.labels import class_names_for
from nibblefit.data.material import Material, full_scale
from nibblefit.data.options import ReaderOptions, read_options
from nibblefit.errors import InputError, RecipeError


class IdxOptions(ReaderOptions):
    """Options of source ``idx``: file names inside data.path."""

    images: str = Field(default="", description="Training images; default train-images-idx3-ubyte.")
    labels: str = Field(default="", description="Training labels; default train-labels-idx1-ubyte.")
    test_images: str = Field(default="", description="Test images; default t10k-images-….")
    test_labels: str = Field(default="", description="Test labels; default t10k-labels-….")
    first: int = Field(
        default=0, ge=0, description="Train on the first N samples only; without test files, the "
        "samples after them are the test split. 0 uses all."
    )  # fmt: skip
    layout: Literal["image", "rows"] = Field(
        default="image", description="image: one channel, height, width. rows: a sequence for 1-D "
        "networks, one step per row, with the row's pixels as channels."
    )  # fmt: skip
    pad: int = Field(
        default=0, ge=0, le=4096, description="Pixels of zeros added on every side: 2 makes 32 x "
        "32 of 28 x 28."
    )  # fmt: skip
    names: tuple[str, ...] = Field(default=(), description="Class names.")


def read_idx_set(folder: Path, options: Mapping[str, Any]) -> Material:
    """Read a training pair and, if there is one, a test pair of images and labels."""
    wanted = read_options(IdxOptions, options, "idx")
    if bool(wanted.images) != bool(wanted.labels):
        raise RecipeError(
            "data.options names only one of images and labels", hint="give both file names"
        )
    train = _pair(folder, wanted.images or "train-images-idx3-ubyte",
                  wanted.labels or "train-labels-idx1-ubyte")  # fmt: skip
    test = _test_pair(folder, wanted)
    images, labels, test_indices = _join(train, test, wanted.first)
    lowest, full = full_scale(images, str(folder))
    return Material(
        inputs=_laid_out(_padded(images, wanted.pad), wanted.layout),
        targets=labels.astype(np.int64),
        lowest=lowest,
        full=full,
        class_names=class_names_for(labels, wanted.names, str(folder)),
        test=test_indices,
    )


def _padded(images: npt.NDArray[np.generic], pixels: int) -> npt.NDArray[np.generic]:
    return np.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels))) if pixels else images


def _laid_out(images: npt.NDArray[np.generic], layout: str) -> npt.NDArray[np.generic]:
    """Return images (count, height, width) with their channels behind the sample axis."""
    return images.transpose(0, 2, 1) if layout == "rows" else images[:, None]


def _test_pair(
    folder: Path, wanted: IdxOptions
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]] | None:
    if wanted.test_images or wanted.test_labels:
        return _pair(folder, wanted.test_images or "t10k-images-idx3-ubyte",
                     wanted.test_labels or "t10k-labels-idx1-ubyte")  # fmt: skip
    images = "t10k-images-idx3-ubyte"
    # Training files named by hand have nothing to do with standard test files beside them.
    if wanted.images or _find(folder, images) is None:
        return None
    return _pair(folder, images, "t10k-labels-idx1-ubyte")


def _join(
    train: tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]],
    test: tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]] | None,
    first: int,
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic], npt.NDArray[np.int64] | None]:
    images, labels = train
    count = len(images)
    if first > count:
        raise RecipeError(
            f"data.options.first is {first:,}, the training files hold {count:,} samples",
            hint=f"use at most {count}",
        )
    if test is None:
        return images, labels, np.arange(first, count) if first else None
    if test[0].shape[1:] != images.shape[1:] or test[0].dtype != images.dtype:
        raise InputError(
            f"training images are {list(images.shape[1:])} {images.dtype}, test images "
            f"{list(test[0].shape[1:])} {test[0].dtype}",
            hint="use files of the same data set",
        )
    kept = first or count
    joined = np.concatenate([images[:kept], test[0]])
    both = np.concatenate([labels[:kept], test[1]])
    return joined, both, np.arange(kept, len(joined))


def _find(folder: Path, name: str) -> Path | None:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    return None


def _pair(
    folder: Path, images: str, labels: str
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
    paths = []
    for name in (images, labels):
        path = _find(folder, name)
        if path is None:
            raise InputError(
                f"{folder} holds neither {name} nor {name}.gz",
                hint="set data.path to the folder, or data.options = {images = …, labels = …}",
            )
        paths.append(path)
    pixels, classes = read_idx(paths[0], axes=3), read_idx(paths[1], axes=1)
    if len(pixels) != len(classes):
        raise InputError(
            f"{paths[0]} holds {len(pixels):,} images, {paths[1]} {len(classes):,} labels",
            hint="use two files that belong together",
        )
    return pixels, classes
