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

#: Type, truncation, occlusion, alpha, and the box; 3-D fields and a score may follow.
LEAST_FIELDS = 8
_BOX = slice(4, 8)


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
        default=False, description="Refuse boxes without area instead of leaving them out."
    )


@dataclass(frozen=True, slots=True)
class Labels:
    """What one label file says.

    Attributes:
        types: Type of each object, in lower case.
        boxes: (count, 4): left, top, right, bottom in pixels of the picture.
        difficult: (count,) occluded at all, or not known.
        degenerate: What is wrong with objects that were left out.
    """

    types: tuple[str, ...]
    boxes: npt.NDArray[np.float64]
    difficult: npt.NDArray[np.bool_]
    degenerate: tuple[str, ...]


def read_kitti(folder: Path, options: Mapping[str, Any]) -> Material:
    """Read a data set in KITTI's layout.

    Raises:
        InputError: Pictures or labels are missing or damaged; names file and line.
    """
    wanted = read_options(KittiOptions, options, "kitti")
    parts = [
        _part(folder, images, labels)
        for images, labels in (
            (wanted.images, wanted.labels),
            (wanted.validation_images, wanted.validation_labels),
            (wanted.test_images, wanted.test_labels),
        )
    ]
    pairs = [pair for part in parts for pair in part]
    found = [read_labels_file(labels) for _, labels in pairs]
    bad = [line for labels in found for line in labels.degenerate]
    if bad and wanted.strict:
        raise InputError(
            f"{len(bad)} boxes cannot be used, the first in {bad[0]}",
            hint="correct them, or set data.options.strict = false to leave them out",
        )
    names, number = _classes(found, wanted)
    size = (wanted.size, wanted.size) if isinstance(wanted.size, int) else wanted.size
    files = ImageFiles([image for image, _ in pairs], size, gray=wanted.gray)
    shape = (files.shape[2], files.shape[3])
    trained = len(parts[0])
    targets = [
        _target(labels, number, _scale(image, shape),
                keep_difficult=wanted.include_difficult or place >= trained)
        for place, ((image, _), labels) in enumerate(zip(pairs, found, strict=True))
    ]  # fmt: skip
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
        notes=left_out(bad),
    )


def read_labels_file(path: Path) -> Labels:
    """Read one file of labels: 15 fields a line, or at least the 8 up to the box.

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
    types: list[str] = []
    boxes: list[list[float]] = []
    difficult: list[bool] = []
    degenerate: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = line.split()
        occlusion, box = _numbers(fields, path, number)
        if box[2] <= box[0] or box[3] <= box[1]:
            words = f"[{box[0]:g}, {box[1]:g}, {box[2]:g}, {box[3]:g}]"
            degenerate.append(f"{path.name}, line {number}: {fields[0]} {words} has no area")
            continue
        types.append(fields[0].lower())
        boxes.append(box)
        difficult.append(occlusion != 0)
    return Labels(tuple(types), np.array(boxes, np.float64).reshape(-1, 4),
                  np.array(difficult, bool), tuple(degenerate))  # fmt: skip


def _numbers(fields: Sequence[str], path: Path, number: int) -> tuple[float, list[float]]:
    """Return occlusion and box of a line."""
    problem = "" if len(fields) >= LEAST_FIELDS else f"{len(fields)} fields"
    values = [0.0]
    if not problem:
        try:
            values = [float(text) for text in (fields[2], *fields[_BOX])]
        except ValueError as error:
            problem = str(error)
    if not problem and not np.all(np.isfinite(values)):
        problem = "a number that is not finite"
    if problem:
        raise InputError(
            f"{path}, line {number}: {problem} in '{' '.join(fields)[:60]}'",
            hint="expected KITTI: type truncation occlusion alpha xmin ymin xmax ymax …",
        )
    return values[0], values[1:]


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
    mapping = {key.lower(): value.lower() for key, value in wanted.classes.items()}
    if not mapping:
        types = {name for labels in found for name in labels.types} - {"dontcare"}
        mapping = {name: name for name in types}
    names = tuple(sorted(set(mapping.values())))
    return names, {key: names.index(value) for key, value in mapping.items()}


def _scale(image: Path, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    height, width = picture_size(image)
    return np.array([shape[1] / width, shape[0] / height] * 2)


def _target(labels: Labels, number: Mapping[str, int], scale: npt.NDArray[np.float64], *,
            keep_difficult: bool) -> dict[str, Any]:  # fmt: skip
    kept = np.array([name in number for name in labels.types], bool)
    if not keep_difficult:
        kept &= ~labels.difficult
    types = [name for name, there in zip(labels.types, kept, strict=True) if there]
    return {
        "boxes": (labels.boxes[kept] * scale).astype(np.float32),
        "labels": np.array([number[name] for name in types], np.int64),
        "difficult": labels.difficult[kept],
    }
