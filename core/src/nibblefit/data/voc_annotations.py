"""Box annotations in Pascal VOC's XML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt

from nibblefit.errors import InputError

#: Largest annotation that is read; a crowded picture takes some 100 kB.
LARGEST = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is known about one picture.

    Attributes:
        width, height: Of the picture in pixels; 0 where the file does not say.
        names: Class name of each object.
        boxes: (count, 4): left, top, right, bottom in pixels, right and bottom one past the object.
        difficult: (count,) marked as hard to recognise.
        degenerate: What is wrong with objects that were left out.
    """

    width: int
    height: int
    names: tuple[str, ...]
    boxes: npt.NDArray[np.float64]
    difficult: npt.NDArray[np.bool_]
    degenerate: tuple[str, ...]


def read_annotation(path: Path) -> Annotation:
    """Read one XML file.

    VOC counts pixels from 1 and includes the last one, so that a box covers
    ``xmin - 1 … xmax``. A box without area, or outside its picture, is left out and described.

    Raises:
        InputError: Missing, not XML, or without the elements of an annotation.
    """
    root = _parsed(path)
    size = root.find("size")
    width, height = (
        (_number(size, "width", path), _number(size, "height", path))
        if size is not None
        else (0.0, 0.0)
    )
    names: list[str] = []
    boxes: list[list[float]] = []
    difficult: list[bool] = []
    degenerate: list[str] = []
    for number, item in enumerate(root.iter("object"), start=1):
        name, bounds = item.findtext("name"), item.find("bndbox")
        if not name or bounds is None:
            raise InputError(
                f"{path}: object {number} has no {'name' if not name else 'bndbox'}",
                hint="expected Pascal VOC: object/name and object/bndbox/xmin, ymin, xmax, ymax",
            )
        box = [_number(bounds, key, path) for key in ("xmin", "ymin", "xmax", "ymax")]
        problem = _problem(box, width, height)
        if problem:
            degenerate.append(f"{path.name}: {name.strip()} {problem}")
            continue
        names.append(name.strip())
        boxes.append(_clipped(box, width, height))
        difficult.append(item.findtext("difficult", "0").strip() == "1")
    return Annotation(int(width), int(height), tuple(names),
                      np.array(boxes, np.float64).reshape(-1, 4), np.array(difficult, bool),
                      tuple(degenerate))  # fmt: skip


def _parsed(path: Path) -> ET.Element:
    try:
        text = path.read_bytes()
        if len(text) > LARGEST or b"<!ENTITY" in text or b"\0" in text:
            raise InputError(
                f"{path} is no annotation", hint="it is too large, or defines entities"
            )
        return ET.fromstring(text)  # noqa: S314 - entities, what XML attacks use, are refused
    except FileNotFoundError:
        raise InputError(
            f"{path} is missing", hint="every picture in ImageSets needs an annotation"
        ) from None
    except ET.ParseError as error:
        raise InputError(
            f"{path} is no XML: {error}", hint="write the annotation again, or remove the picture "
            "from the list"
        ) from error  # fmt: skip


def _number(parent: ET.Element, key: str, path: Path) -> float:
    text = parent.findtext(key)
    try:
        value = float(text or "")
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise InputError(
            f"{path}: {parent.tag}/{key} is {text!r}, expected a number", hint="correct the file"
        )
    return value


def _problem(box: Sequence[float], width: float, height: float) -> str:
    left, top, right, bottom = box
    words = f"[{left:g}, {top:g}, {right:g}, {bottom:g}]"
    if right <= left or bottom <= top:
        return f"{words} has no area"
    if width and height and (left > width or top > height or right < 1 or bottom < 1):
        return f"{words} lies outside the picture of {width:g} × {height:g}"
    return ""


def _clipped(box: Sequence[float], width: float, height: float) -> list[float]:
    left, top, right, bottom = box
    limits = (width or np.inf, height or np.inf)
    return [max(left - 1, 0.0), max(top - 1, 0.0), min(right, limits[0]), min(bottom, limits[1])]
