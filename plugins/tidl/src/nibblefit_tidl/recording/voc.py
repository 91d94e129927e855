"""Pascal VOC's folder layout: pictures, boxes as XML, masks as PNG, lists of names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from nibblefit_tidl.recording.frames import Picture
from nibblefit_tidl.recording.labelling import Mask

PICTURES, BOXES, MASKS, LISTS = "JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Main"
#: JPEG quality: high enough that compression does not blur what is to be learnt.
QUALITY = 95
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture with one object.

    Attributes:
        picture: RGB.
        mask: The object.
        box: Left, top, right, bottom, the last two one past the object.
        label: Class name.
        number: Class number in the mask, from 1; 0 is background.
        truncated: The object runs out of the picture.
    """

    picture: Picture
    mask: Mask
    box: Box
    label: str
    number: int
    truncated: bool


def write_sample(root: Path, name: str, sample: Sample) -> None:
    """Write picture, mask and box under a name without suffix into the data set's folder."""
    from PIL import Image

    for folder in (PICTURES, BOXES, MASKS):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(sample.picture).save(root / PICTURES / f"{name}.jpg", quality=QUALITY)
    indexed = Image.fromarray(sample.mask.astype(np.uint8) * np.uint8(sample.number), mode="P")
    indexed.putpalette(_palette())
    indexed.save(root / MASKS / f"{name}.png")
    (root / BOXES / f"{name}.xml").write_bytes(_annotation(name, sample))


def write_list(root: Path, name: str, samples: Iterable[str]) -> None:
    """Write a list of sample names; a reader sees the old or the new file."""
    path = root / LISTS / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text("".join(f"{sample}\n" for sample in samples), encoding="utf-8")
    os.replace(draft, path)  # noqa: PTH105 - the atomic call, named


def _annotation(name: str, sample: Sample) -> bytes:
    # VOC counts pixels from 1 and includes the last one.
    root = ET.Element("annotation")
    _leaf(root, "folder", PICTURES)
    _leaf(root, "filename", f"{name}.jpg")
    size = ET.SubElement(root, "size")
    for key, value in zip(("height", "width", "depth"), sample.picture.shape, strict=True):
        _leaf(size, key, value)
    _leaf(root, "segmented", 1)
    item = ET.SubElement(root, "object")
    _leaf(item, "name", sample.label)
    _leaf(item, "truncated", int(sample.truncated))
    _leaf(item, "difficult", 0)
    bounds = ET.SubElement(item, "bndbox")
    left, top, right, bottom = sample.box
    for key, value in (("xmin", left + 1), ("ymin", top + 1), ("xmax", right), ("ymax", bottom)):
        _leaf(bounds, key, value)
    ET.indent(root)
    text: bytes = ET.tostring(root)
    return text


def _leaf(parent: ET.Element, key: str, value: object) -> None:
    ET.SubElement(parent, key).text = str(value)


def _palette() -> list[int]:
    """Return VOC's colours: bits of the number, dealt to red, green and blue from the top."""
    numbers, channels = np.arange(256)[:, None], np.arange(3)
    colours = sum(((numbers >> (3 * j + channels)) & 1) << (7 - j) for j in range(3))
    return [int(value) for value in np.asarray(colours).reshape(-1)]
