"""Data sets in Pascal VOC's layout: pictures with boxes, or with a class per pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nibblefit.data.folder import MEMORY_BYTES
from nibblefit.data.image_files import SUFFIXES, ImageFiles, read_labels
from nibblefit.data.material import Material
from nibblefit.data.options import ReaderOptions, read_options
from nibblefit.data.scaling import UINT8_FULL_SCALE
from nibblefit.data.voc_annotations import Annotation, read_annotation
from nibblefit.errors import InputError

PICTURES, BOXES, MASKS, LISTS = "JPEGImages", "Annotations", "SegmentationClass", "ImageSets"
#: Folders of lists, by what they are for; the first that exists is read.
LIST_FOLDERS = {"boxes": ("Main",), "masks": ("Segmentation", "Main")}
#: So many left-out boxes are named, the rest counted.
_NAMED = 3


class VocOptions(ReaderOptions):
    """Options of source ``voc``."""

    size: int | tuple[int, int] | None = Field(
        default=None, description="Side, or [height, width], every picture is resized to."
    )
    gray: bool = Field(default=False, description="Read one channel instead of three.")
    targets: Literal["boxes", "masks"] = Field(
        default="boxes", description="boxes for detection, masks for segmentation."
    )
    classes: tuple[str, ...] = Field(
        default=(),
        description="Classes in the order of their numbers; others are left out. Empty: the lines "
        "of labels.txt, or all names found, in alphabetical order.",
    )
    train: str = Field(
        default="train", description="List of the training pictures; several as train+more."
    )
    validation: str = Field(
        default="", description="List of the validation pictures. Empty: val if there is a test "
        "list too, else chosen from the training ones.",
    )  # fmt: skip
    test: str = Field(
        default="",
        description="List of the test pictures, or several, as in val+test. Empty: "
        "test, or else val.",
    )
    strict: bool = Field(
        default=False,
        description="Refuse boxes without area or outside their picture instead of leaving them "
        "out.",
    )


def read_voc(folder: Path, options: Mapping[str, Any]) -> Material:
    """Read a data set in VOC's layout.

    Raises:
        InputError: Lists, pictures, annotations or masks are missing or contradict each other.
    """
    wanted = read_options(VocOptions, options, "voc")
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", hint="check data.path")
    lists = _lists(folder, wanted)
    names = list(dict.fromkeys(name for part in lists for name in part))
    place = {name: number for number, name in enumerate(names)}
    splits = [np.array([place[name] for name in part], np.int64) for part in lists]
    size = (wanted.size, wanted.size) if isinstance(wanted.size, int) else wanted.size
    files = ImageFiles(_pictures(folder, names), size, gray=wanted.gray)
    shape = (files.shape[2], files.shape[3])
    found = _boxes if wanted.targets == "boxes" else _masks
    targets, classes, notes = found(folder, names, shape, wanted)
    return Material(
        inputs=files[:] if files.bytes <= MEMORY_BYTES else files,
        targets=targets,
        lowest=0.0,
        full=UINT8_FULL_SCALE,
        class_names=classes,
        validation=splits[1] if len(splits[1]) else None,
        test=splits[2] if len(splits[2]) else None,
        notes=notes,
    )


def _lists(folder: Path, wanted: VocOptions) -> tuple[list[str], list[str], list[str]]:
    """Return the names of each split; a picture in two lists belongs to the later one."""
    root = next((folder / LISTS / name for name in LIST_FOLDERS[wanted.targets]
                 if (folder / LISTS / name).is_dir()), folder / LISTS)  # fmt: skip
    has_test, has_val = (root / "test.txt").is_file(), (root / "val.txt").is_file()
    test_name = wanted.test or ("test" if has_test else "val" if has_val else "")
    validation_name = wanted.validation or ("val" if has_val and test_name != "val" else "")
    train, validation, test = (
        _listed(root, name) for name in (wanted.train, validation_name, test_name)
    )
    held = {*validation, *test}
    return [n for n in train if n not in held], [n for n in validation if n not in test], test


def _listed(root: Path, names: str) -> list[str]:
    """Return the pictures of a list, or of several joined by ``+``, each once."""
    parts = (_one_list(root, name.strip()) for name in names.split("+") if name.strip())
    return list(dict.fromkeys(picture for part in parts for picture in part))


def _one_list(root: Path, name: str) -> list[str]:
    path = root / f"{name}.txt"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in root.glob("*.txt"))) or "none"
        raise InputError(
            f"{path} is missing", hint=f"lists in {root}: {known}; name one in data.options"
        )
    # Lists of one class have a second column: 1, 0 or -1.
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return [line[0] for line in lines if line]


def _pictures(folder: Path, names: Sequence[str]) -> list[Path]:
    there = {p.stem: p for p in sorted((folder / PICTURES).glob("*"))
             if p.suffix.lower() in SUFFIXES}  # fmt: skip
    missing = [name for name in names if name not in there]
    if missing or not names:
        raise InputError(
            f"{folder / PICTURES} lacks {len(missing)} listed pictures, such as {missing[0]}"
            if missing
            else f"the lists in {folder / LISTS} are empty",
            hint="check data.path and the lists",
        )
    return [there[name] for name in names]


def _boxes(
    folder: Path, names: Sequence[str], size: tuple[int, int], wanted: VocOptions
) -> tuple[list[dict[str, Any]], tuple[str, ...], tuple[str, ...]]:
    found = [read_annotation(folder / BOXES / f"{name}.xml") for name in names]
    bad = [line for annotation in found for line in annotation.degenerate]
    if bad and wanted.strict:
        raise InputError(
            f"{len(bad)} boxes cannot be used, the first in {bad[0]}",
            hint="correct them, or set data.options.strict = false to leave them out",
        )
    classes = wanted.classes or _labels_file(folder) or tuple(
        sorted({name for annotation in found for name in annotation.names})
    )  # fmt: skip
    number = {name: index for index, name in enumerate(classes)}
    targets = [_target(annotation, number, size) for annotation in found]
    if not any(len(target["boxes"]) for target in targets):
        raise InputError(
            f"{folder} has no box of the classes {', '.join(classes) or '(none)'}",
            hint="check data.options.classes",
        )
    return targets, classes, left_out(bad)


def _target(
    annotation: Annotation, number: Mapping[str, int], size: tuple[int, int]
) -> dict[str, Any]:
    kept = np.array([name in number for name in annotation.names], bool)
    scale = np.ones(4)
    if annotation.width and annotation.height:
        scale = np.array([size[1] / annotation.width, size[0] / annotation.height] * 2)
    labels = [number[name] for name in annotation.names if name in number]
    return {
        "boxes": (annotation.boxes[kept] * scale).astype(np.float32),
        "labels": np.array(labels, np.int64),
        "difficult": annotation.difficult[kept],
    }


def left_out(bad: Sequence[str]) -> tuple[str, ...]:
    """Return the note on boxes that were left out: how many, and the first ones."""
    if not bad:
        return ()
    rest = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    return (f"{len(bad)} boxes are left out: {'; '.join(bad[:_NAMED])}{rest}",)


def _masks(
    folder: Path, names: Sequence[str], size: tuple[int, int], wanted: VocOptions
) -> tuple[npt.NDArray[np.uint8], tuple[str, ...], tuple[str, ...]]:
    labels = _labels_file(folder)
    classes = wanted.classes or (("background", *labels) if labels else ())
    if not classes:
        raise InputError(
            "masks hold numbers, and nothing says what they stand for",
            hint="set data.options.classes = ['background', …], or write labels.txt, a class per "
            "line, without the background",
        )
    maps = read_labels([folder / MASKS / f"{name}.png" for name in names], size)
    return maps, classes, ()


def _labels_file(folder: Path) -> tuple[str, ...]:
    path = folder / "labels.txt"
    if not path.is_file():
        return ()
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip())
