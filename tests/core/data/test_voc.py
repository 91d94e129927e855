"""Data sets in Pascal VOC's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nibblefit.data.voc import read_voc
from nibblefit.data.voc_annotations import read_annotation
from nibblefit.errors import InputError

Image = pytest.importorskip("PIL.Image", reason="extra 'image' is not installed")

OBJECT = (
    "<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin>"
    "<xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


def annotate(folder: Path, name: str, *objects: tuple[object, ...], size: str = "") -> None:
    """Write an annotation; objects are (name, difficult, xmin, ymin, xmax, ymax)."""
    size = size or "<size><width>20</width><height>10</height><depth>3</depth></size>"
    text = "".join(OBJECT.format(*one) for one in objects)
    path = folder / "Annotations" / f"{name}.xml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"<annotation>{size}{text}</annotation>")


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Six pictures of 20 x 10 pixels, three lists, two classes."""
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Main"):
        (tmp_path / folder).mkdir(parents=True)
    for number in range(6):
        Image.new("RGB", (20, 10), (number, 0, 0)).save(tmp_path / f"JPEGImages/p{number}.png")
        mask = Image.fromarray(np.full((10, 20), number % 3, np.uint8), mode="P")
        mask.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        mask.save(tmp_path / f"SegmentationClass/p{number}.png")
        annotate(tmp_path, f"p{number}", ("cup", 0, 1, 1, 10, 5), ("box", 1, 11, 6, 20, 10))
    lists = tmp_path / "ImageSets/Main"
    (lists / "train.txt").write_text("p0\np1\np2\n")
    (lists / "val.txt").write_text("p3 1\np4 -1\n")
    (lists / "test.txt").write_text("p5\n")
    return tmp_path


def test_boxes_are_read_and_scaled(voc: Path) -> None:
    """VOC's inclusive pixels from 1 become edges, in the pixels of the resized picture."""
    found = read_voc(voc, {"size": [20, 20], "gray": True})
    assert found.class_names == ("box", "cup")
    assert found.inputs.shape == (6, 1, 20, 20)
    assert found.validation.tolist() == [3, 4]
    assert found.test.tolist() == [5]
    target = found.targets[0]
    assert target["boxes"].tolist() == [[0, 0, 10, 10], [10, 10, 20, 20]]
    assert target["labels"].tolist() == [1, 0]
    assert target["difficult"].tolist() == [False, True]
    assert found.notes == ()


def test_chosen_classes_fix_the_numbers(voc: Path) -> None:
    """Listed classes come in that order, others are left out."""
    found = read_voc(voc, {"classes": ["cup"]})
    assert [target["labels"].tolist() for target in found.targets] == [[0]] * 6
    with pytest.raises(InputError, match="no box of the classes cat"):
        read_voc(voc, {"classes": ["cat"]})


def test_val_is_the_test_list_where_there_is_no_other(voc: Path) -> None:
    """With train and val only, val is what is kept for the test."""
    (voc / "ImageSets/Main/test.txt").unlink()
    found = read_voc(voc, {})
    assert found.validation is None
    assert found.test.tolist() == [3, 4]


def test_lists_are_joined(voc: Path) -> None:
    """Several test lists count as one; what is tested on is neither trained nor validated on."""
    material = read_voc(voc, {"test": "val + test"})
    assert material.validation is None
    assert material.test is not None
    assert len(material.test) == 3
    with pytest.raises(InputError, match=r"other\.txt is missing"):
        read_voc(voc, {"test": "val+other"})


def test_degenerate_boxes_are_left_out_or_refused(voc: Path) -> None:
    """Boxes without area or outside are counted and named; `strict` refuses them."""
    annotate(voc, "p1", ("cup", 0, 5, 5, 5, 9), ("box", 0, 2, 9, 8, 3), ("cup", 0, 30, 1, 40, 5),
             ("box", 0, -3, 0, 50, 50))  # fmt: skip
    found = read_voc(voc, {})
    assert found.targets[1]["boxes"].tolist() == [[0, 0, 20, 10]]
    note = found.notes[0]
    assert note.startswith("3 boxes are left out: p1.xml: cup [5, 5, 5, 9] has no area")
    assert "outside the picture of 20 × 10" in note
    with pytest.raises(InputError, match="3 boxes cannot be used"):
        read_voc(voc, {"strict": True})


def test_masks_are_read_by_number(voc: Path) -> None:
    """Palette pictures give their numbers; labels.txt names them behind the background."""
    (voc / "labels.txt").write_text("cup\nbox\n")
    found = read_voc(voc, {"targets": "masks", "size": 5})
    assert found.class_names == ("background", "cup", "box")
    assert found.targets.shape == (6, 5, 5)
    assert [int(one.max()) for one in found.targets] == [0, 1, 2, 0, 1, 2]
    (voc / "labels.txt").unlink()
    with pytest.raises(InputError, match="nothing says what they stand for"):
        read_voc(voc, {"targets": "masks"})
    Image.new("RGB", (20, 10)).save(voc / "SegmentationClass/p2.png")
    with pytest.raises(InputError, match="colours of mode RGB"):
        read_voc(voc, {"targets": "masks", "classes": ["a", "b", "c"]})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<annotation", "is no XML"),
        ("<annotation><object><bndbox/></object></annotation>", "object 1 has no name"),
        ("<annotation><object><name>a</name></object></annotation>", "has no bndbox"),
        ("<annotation>" + OBJECT.format("a", 0, "x", 1, 2, 3) + "</annotation>", "'x', expected"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', "is no annotation"),
    ],
)
def test_bad_annotations_are_explained(tmp_path: Path, text: str, problem: str) -> None:
    """Each defect gives one explained error."""
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(InputError, match=problem):
        read_annotation(path)


def test_missing_parts_are_named(voc: Path) -> None:
    """Lists, pictures and annotations that are not there."""
    with pytest.raises(InputError, match="is not a folder"):
        read_voc(voc / "gone", {})
    with pytest.raises(InputError, match=r"all\.txt is missing"):
        read_voc(voc, {"train": "all"})
    (voc / "Annotations/p2.xml").unlink()
    with pytest.raises(InputError, match=r"p2\.xml is missing"):
        read_voc(voc, {})
    (voc / "JPEGImages/p0.png").unlink()
    with pytest.raises(InputError, match="lacks 1 listed pictures, such as p0"):
        read_voc(voc, {})


def test_blood_cells_are_read(shared: Path) -> None:
    """The BCCD set: its published splits, three classes, boxes inside the pictures."""
    found = read_voc(shared / "data/bccd", {"size": [48, 64]})
    assert found.class_names == ("Platelets", "RBC", "WBC")
    assert found.inputs.shape == (364, 3, 48, 64)
    assert (len(found.validation), len(found.test)) == (87, 72)
    joined = np.concatenate([target["boxes"] for target in found.targets])
    assert len(joined) > 4800
    assert joined.min() >= 0
    assert joined[:, 2].max() <= 64
    assert joined[:, 3].max() <= 48
