"""Data sets in KITTI's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nibblefit.data.kitti import read_kitti, read_labels_file
from nibblefit.errors import InputError

LINE = "{} 0.00 {} -0.20 {} {} {} {} 1.89 0.48 1.20 1.84 1.47 8.41 0.01\n"


@pytest.fixture
def kitti(tmp_path: Path) -> Path:
    """Three training pictures of 20 x 10 pixels and one for validation."""
    image = pytest.importorskip("PIL.Image", reason="extra 'image' is not installed")
    for part, count in (("train", 3), ("val", 1)):
        for folder in ("images", "labels"):
            (tmp_path / part / folder).mkdir(parents=True)
        for number in range(count):
            path = tmp_path / part / "images" / f"{number:06d}.png"
            image.new("RGB", (20, 10), (number, 0, 0)).save(path)
            text = LINE.format("Car", 0, 0, 0, 10, 5) + LINE.format("Van", 2, 10, 5, 20, 10)
            text += LINE.format("DontCare", -1, 1, 1, 2, 2)
            (tmp_path / part / "labels" / f"{number:06d}.txt").write_text(text)
    return tmp_path


FOLDERS = {
    "images": "train/images", "labels": "train/labels",
    "validation_images": "val/images", "validation_labels": "val/labels",
}  # fmt: skip


def test_types_become_classes_and_boxes_are_scaled(kitti: Path) -> None:
    """Types are joined, others left out; difficult boxes are for measuring only."""
    options = {**FOLDERS, "size": [20, 20], "classes": {"car": "Vehicle", "van": "vehicle"}}
    found = read_kitti(kitti, options)
    assert found.class_names == ("vehicle",)
    assert found.inputs.shape == (4, 3, 20, 20)
    assert found.validation is not None
    assert found.validation.tolist() == [3]
    assert found.targets[0]["boxes"].tolist() == [[0, 0, 10, 10]]
    assert found.targets[3]["boxes"].tolist() == [[0, 0, 10, 10], [10, 10, 20, 20]]
    assert found.targets[3]["difficult"].tolist() == [False, True]
    all_boxes = read_kitti(kitti, {**options, "include_difficult": True})
    assert len(all_boxes.targets[0]["boxes"]) == 2


def test_without_a_mapping_every_type_but_dont_care_is_a_class(kitti: Path) -> None:
    """Names are sorted and in lower case."""
    assert read_kitti(kitti, FOLDERS).class_names == ("car", "van")


def test_boxes_without_area_are_left_out_counted_and_named(kitti: Path) -> None:
    """Or refused, if strict."""
    label = kitti / "train" / "labels" / "000001.txt"
    label.write_text(LINE.format("Car", 0, 5, 5, 5, 9) + LINE.format("Car", 0, 1, 1, 2, 2))
    found = read_kitti(kitti, FOLDERS)
    (note,) = found.notes
    assert note == ("1 boxes are left out: 000001.txt, line 1: car [5, 5, 5, 9] has no area")
    with pytest.raises(InputError, match=r"1 boxes cannot be used, the first in 000001\.txt"):
        read_kitti(kitti, {**FOLDERS, "strict": True})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Car 0 0 0 1 2 3\n", "line 1: 7 fields"),
        ("\nCar 0 0 0 1 2 x 4\n", "line 2: could not convert"),
        ("Car 0 0 0 1 2 inf 4\n", "not finite"),
        ("Car" + " 0" * 16, "line 1: 17 fields"),
        ("Traffic light 0 0 0 1 2 3 4 0 0 0 0 0 0 0", "line 1: could not convert .*'light'"),
    ],
)
def test_damaged_labels_are_refused_by_line(kitti: Path, text: str, words: str) -> None:
    """File, line and what was expected."""
    (kitti / "train" / "labels" / "000000.txt").write_text(text)
    with pytest.raises(InputError, match=words):
        read_kitti(kitti, FOLDERS)


def test_missing_folders_pictures_and_labels_are_refused(kitti: Path) -> None:
    """Each names what is missing."""
    with pytest.raises(InputError, match="is not a folder"):
        read_kitti(kitti, {})
    with pytest.raises(InputError, match="no folder of labels is given"):
        read_kitti(kitti, {**FOLDERS, "validation_labels": ""})
    (kitti / "val" / "labels" / "000000.txt").unlink()
    with pytest.raises(InputError, match=r"1 of 1 pictures in .* have no labels"):
        read_kitti(kitti, FOLDERS)
    (kitti / "val" / "images" / "000000.png").unlink()
    with pytest.raises(InputError, match="holds no picture"):
        read_kitti(kitti, FOLDERS)
    with pytest.raises(InputError, match="has no box of the classes cat"):
        read_kitti(kitti, {"images": "train/images", "labels": "train/labels",
                           "classes": {"cat": "cat"}})  # fmt: skip


def test_vendor_label_files_are_read(shared: Path) -> None:
    """Files of KITTI: types, boxes and occlusion."""
    folder = shared / "vendor" / "tao" / "kitti"
    found = read_labels_file(folder / "000001.txt")
    assert found.types[:3] == ("truck", "car", "cyclist")
    assert found.boxes[0].tolist() == [599.41, 156.40, 629.75, 189.25]
    assert found.difficult[:3].tolist() == [False, False, True]
    assert read_labels_file(folder / "000000.txt").types == ("pedestrian",)
    assert np.all(read_labels_file(folder / "000012.txt").boxes[:, 2:] > 0)


def test_files_with_a_score_and_empty_ones_are_read(kitti: Path) -> None:
    """16 fields are a result's; a picture without objects has an empty file."""
    label = kitti / "train" / "labels" / "000000.txt"
    label.write_text(LINE.format("Car", 0, 1, 1, 5, 5).rstrip() + " 0.93\n")
    (kitti / "train" / "labels" / "000001.txt").write_text("")
    found = read_kitti(kitti, FOLDERS)
    assert found.targets[0]["boxes"].tolist() == [[1, 1, 5, 5]]
    assert found.targets[1]["boxes"].shape == (0, 4)


def test_boxes_beyond_the_border_are_cut_off_or_left_out(kitti: Path) -> None:
    """The picture has 20 x 10 pixels; types that nobody wants are not looked at."""
    label = kitti / "train" / "labels" / "000000.txt"
    label.write_text(
        LINE.format("Car", 0, -4, 2, 30, 12) + LINE.format("Car", 0, 20, 0, 25, 5)
        + LINE.format("DontCare", -1, 9, 9, 9, 9)
    )  # fmt: skip
    found = read_kitti(kitti, FOLDERS)
    assert found.targets[0]["boxes"].tolist() == [[0, 2, 20, 10]]
    (note,) = found.notes
    assert "line 2: car [20, 0, 25, 5] lies outside the picture of 20 × 10" in note


def test_labels_without_a_picture_are_counted_and_named(kitti: Path) -> None:
    """Pictures of another split may share the folder, so only strict refuses."""
    (kitti / "train" / "labels" / "000009.txt").write_text("")
    (note,) = read_kitti(kitti, FOLDERS).notes
    assert note.startswith("1 labels have no picture, such as ")
    assert note.endswith("000009.txt")
    with pytest.raises(InputError, match="1 labels have no picture"):
        read_kitti(kitti, {**FOLDERS, "strict": True})


def test_classes_that_differ_in_case_alone_are_refused(kitti: Path) -> None:
    """Car and car cannot be two classes."""
    with pytest.raises(InputError, match="makes two classes of 'car'"):
        read_kitti(kitti, {**FOLDERS, "classes": {"Car": "a", "car": "b"}})
