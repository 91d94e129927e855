"""Pictures with boxes in KITTI's layout: one text file of labels for each picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nibblefit.data.folder import MEMORY_BYTES
from nibblefit.data.image_files import SUFFIXES, ImageFiles, picture_size
from nibblefit.data.material import Material
from nibblefit.data.options import ReaderOptions, read_options
from nibblefit.data.scaling import UINT8_FULL_SCALE
from nibblefit.data.voc import left_out
from nibblefit.errors import InputError

#: Type, truncation, occlusion, alpha, and the box; seven 3-D fields and a score may follow.
LEAST_FIELDS, MOST_FIELDS = 8, 16
#: Type of regions that nobody looked at.
DONT_CARE = "dontcare"


class KittiOptions(ReaderOptions):
    """Options of source ``kitti``."""

    images: str = Field(default="images", description="Folder of the training pictures.")
    labels: str = Field(default="labels", description="Folder of their labels.")
    validation_images: str = Field(
        default="", description="Folder of the validation pictures. Empty: chosen from training."
    )
    validation_labels: str = Field(default="", description="Folder of their labels.")
    test_images: str = Field(
        default="", description="Folder of the test pictures. Empty: chosen from training."
    )
    test_labels: str = Field(default="", description="Folder of their labels.")
    size: int | tuple[int, int] | None = Field(
        default=None, description="Side, or [height, width], every picture is resized to."
    )
    gray: bool = Field(default=False, description="Read one channel instead of three.")
    classes: dict[str, str] = Field(
        default_factory=dict,
        description='Type in the files → class, such as {car = "car", van = "car"}; other types '
        "are left out. Empty: every type but DontCare is a class. Letters' case does not count.",
    )
    include_difficult: bool = Field(
        default=False, description="Train on boxes marked occluded too."
    )
    strict: bool = Field(
        default=False,
        description="Refuse boxes without area or outside their picture, and labels without a "
        "picture, instead of leaving them out.",
    )


@dataclass(frozen=True, slots=True)
class Labels:
    """What one label file says.

    Attributes:
        path: The file.
        types: Type of each object, in lower case.
        boxes: (count, 4): left, top, right, bottom in pixels of the picture.
        difficult: (count,) occluded at all, or not known.
        lines: Where each stands, from 1.
    """

    path: Path
    types: tuple[str, ...]
    boxes: npt.NDArray[np.float64]
    difficult: npt.NDArray[np.bool_]
    lines: tuple[int, ...]


def read_kitti(folder: Path, options: Mapping[str, Any]) -> Material:
    """Read a data set in KITTI's layout.

    Raises:
        InputError: Pictures or labels are missing or damaged; names file and line.
    """
    wanted = read_options(KittiOptions, options, "kitti")
    parts = _parts(folder, wanted)
    pairs = [pair for part in parts for pair in part]
    found = [read_labels_file(labels) for _, labels in pairs]
    names, number = _classes(found, wanted)
    sizes = [picture_size(image) for image, _ in pairs]
    kept = [_usable(labels, number, size) for labels, size in zip(found, sizes, strict=True)]
    notes = _left_out([line for _, bad in kept for line in bad], pairs, strict=wanted.strict)
    side = (wanted.size, wanted.size) if isinstance(wanted.size, int) else wanted.size
    files = ImageFiles([image for image, _ in pairs], side, gray=wanted.gray)
    shape = (files.shape[2], files.shape[3])
    hard = [wanted.include_difficult] * len(parts[0]) + [True] * (len(pairs) - len(parts[0]))
    targets = [
        _target(labels, use, number, original, shape, keep_difficult=difficult)
        for labels, (use, _), original, difficult in zip(found, kept, sizes, hard, strict=True)
    ]
    if not any(len(target["boxes"]) for target in targets):
        raise InputError(f"{folder} has no box of the classes {', '.join(names) or '(none)'}",
                         hint="check data.options.classes")  # fmt: skip
    ends = np.cumsum([len(part) for part in parts])
    return Material(
        inputs=files[:] if files.bytes <= MEMORY_BYTES else files,
        targets=targets,
        lowest=0.0,
        full=UINT8_FULL_SCALE,
        class_names=names,
        validation=np.arange(ends[0], ends[1]) if parts[1] else None,
        test=np.arange(ends[1], ends[2]) if parts[2] else None,
        notes=notes,
    )


def read_labels_file(path: Path) -> Labels:
    """Read one file of labels: 15 fields a line, 16 with a score, or at least the 8 up to the box.

    Raises:
        InputError: Missing, or a line is no label; names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read the labels {path}: {error}",
            hint="every picture needs a text file of the same stem",
        ) from None
    rows = [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()]
    values = [_numbers(fields, path, number) for number, fields in rows]
    return Labels(
        path,
        tuple(fields[0].lower() for _, fields in rows),
        np.array([box for _, box in values], np.float64).reshape(-1, 4),
        np.array([occlusion != 0 for occlusion, _ in values], bool),
        tuple(number for number, _ in rows),
    )


def _numbers(fields: Sequence[str], path: Path, number: int) -> tuple[float, list[float]]:
    """Return occlusion and box of a line."""
    problem = "" if LEAST_FIELDS <= len(fields) <= MOST_FIELDS else f"{len(fields)} fields"
    values: list[float] = []
    if not problem:
        try:
            # All of them: a type of two words would move the box by a field.
            values = [float(text) for text in fields[1:]]
        except ValueError as error:
            problem = str(error)
    if not problem and not np.all(np.isfinite(values)):
        problem = "a number that is not finite"
    if problem:
        raise InputError(
            f"{path}, line {number}: {problem} in '{' '.join(fields)[:60]}'",
            hint="expected KITTI: type truncation occlusion alpha xmin ymin xmax ymax …, 15 fields "
            "and no space in the type",
        )
    return values[1], values[3:7]


def _parts(folder: Path, wanted: KittiOptions) -> list[list[tuple[Path, Path]]]:
    """Return the pictures and label files of training, validation and test."""
    return [
        _part(folder, images, labels)
        for images, labels in (
            (wanted.images, wanted.labels),
            (wanted.validation_images, wanted.validation_labels),
            (wanted.test_images, wanted.test_labels),
        )
    ]


def _part(folder: Path, images: str, labels: str) -> list[tuple[Path, Path]]:
    """Return pictures and their label files of one split, by name."""
    if not images:
        return []
    place = folder / images
    if not place.is_dir():
        raise InputError(f"{place} is not a folder",
                         hint="check data.path and data.options.images")  # fmt: skip
    if not labels:
        raise InputError(f"no folder of labels is given for the pictures in {place}",
                         hint="set it in data.options beside the pictures'")  # fmt: skip
    pictures = sorted(path for path in place.iterdir() if path.suffix.lower() in SUFFIXES)
    if not pictures:
        raise InputError(f"{place} holds no picture", hint=f"suffixes read: {', '.join(SUFFIXES)}")
    pairs = [(path, folder / labels / f"{path.stem}.txt") for path in pictures]
    missing = [text for _, text in pairs if not text.is_file()]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(pairs)} pictures in {place} have no labels, such as "
            f"{missing[0]}",
            hint="write an empty file for a picture without objects, or remove the picture",
        )
    return pairs


def _classes(
    found: Sequence[Labels], wanted: KittiOptions
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Return class names, sorted, and the number of every type that is kept."""
    mapping: dict[str, str] = {}
    for key, value in wanted.classes.items():
        if mapping.setdefault(key.lower(), value.lower()) != value.lower():
            raise InputError(f"data.options.classes makes two classes of '{key.lower()}'",
                             hint="letters' case does not count: keep one of them")  # fmt: skip
    if not mapping:
        types = {name for labels in found for name in labels.types} - {DONT_CARE}
        mapping = {name: name for name in types}
    names = tuple(sorted(set(mapping.values())))
    return names, {key: names.index(value) for key, value in mapping.items()}


def _usable(labels: Labels, number: Mapping[str, int], size: tuple[int, int]
            ) -> tuple[npt.NDArray[np.bool_], list[str]]:  # fmt: skip
    """Return which objects of the wanted types can be used, and what is wrong with the others.

    Args:
        labels: Of one picture.
        number: Types that are wanted.
        size: (height, width) of the picture.
    """
    height, width = size
    wanted = np.array([name in number for name in labels.types], bool)
    left, top, right, bottom = labels.boxes.T
    flat = wanted & ((right <= left) | (bottom <= top))
    outside = wanted & ~flat & (
        (left >= width) | (top >= height) | (right <= 0) | (bottom <= 0)
    )  # fmt: skip
    bad = []
    for place in np.flatnonzero(flat | outside):
        words = ", ".join(f"{value:g}" for value in labels.boxes[place])
        why = "has no area" if flat[place] else f"lies outside the picture of {width} × {height}"
        bad.append(f"{labels.path.name}, line {labels.lines[place]}: {labels.types[place]} "
                   f"[{words}] {why}")  # fmt: skip
    return wanted & ~flat & ~outside, bad


def _left_out(bad: Sequence[str], pairs: Sequence[tuple[Path, Path]], *, strict: bool
              ) -> tuple[str, ...]:  # fmt: skip
    """Return notes on boxes, and on labels without a picture, that are not used.

    Raises:
        InputError: There are some, and `strict` asks for it.
    """
    used = {labels for _, labels in pairs}
    orphans = sorted(path for folder in {path.parent for path in used}
                     for path in folder.glob("*.txt") if path not in used)  # fmt: skip
    if strict and (bad or orphans):
        what = (f"{len(bad)} boxes cannot be used, the first in {bad[0]}" if bad
                else f"{len(orphans)} labels have no picture, the first {orphans[0]}")  # fmt: skip
        raise InputError(what, hint="correct them, or set data.options.strict = false to leave "
                         "them out")  # fmt: skip
    lost = f"{len(orphans)} labels have no picture, such as {orphans[0]}" if orphans else ""
    return (*left_out(bad), *([lost] if lost else []))


def _target(
    labels: Labels, use: npt.NDArray[np.bool_], number: Mapping[str, int],
    original: tuple[int, int], shape: tuple[int, int], *, keep_difficult: bool,
) -> dict[str, Any]:  # fmt: skip
    """Return one picture's boxes, cut off at its border, in pixels of the resized picture."""
    kept = use if keep_difficult else use & ~labels.difficult
    height, width = original
    boxes = np.clip(labels.boxes[kept], 0.0, [width, height, width, height])
    scale = np.array([shape[1] / width, shape[0] / height] * 2)
    types = [name for name, there in zip(labels.types, kept, strict=True) if there]
    return {
        "boxes": (boxes * scale).astype(np.float32),
        "labels": np.array([number[name] for name in types], np.int64),
        "difficult": labels.difficult[kept],
    }
