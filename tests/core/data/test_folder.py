"""Image folders."""

from __future__ import annotations

import numpy as np
import pytest

from nibblefit.data import folder as folder_module
from nibblefit.data.folder import read_folder
from nibblefit.errors import InputError, MissingExtraError, RecipeError

Image = pytest.importorskip("PIL.Image", reason="extra 'image' is not installed")


def picture(path, value, size=(4, 3), mode="RGB"):
    """Write one flat picture; size is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


def test_classes_come_from_folders(tmp_path):
    """Class names are the sorted folder names, pixels arrive channels first."""
    picture(tmp_path / "dog" / "1.png", (1, 2, 3))
    picture(tmp_path / "cat" / "1.png", (4, 5, 6))
    (tmp_path / "cat" / "notes.txt").write_text("passed over")
    found = read_folder(tmp_path, {})
    assert found.class_names == ("cat", "dog")
    assert found.targets.tolist() == [0, 1]
    assert found.inputs.shape == (2, 3, 3, 4)
    assert found.inputs[0, :, 0, 0].tolist() == [4, 5, 6]
    assert found.test is None


def test_split_folders_are_kept(tmp_path):
    """train, val and test sub-folders become the splits."""
    for part, values in (("train", (10, 20)), ("val", (30,)), ("test", (40,))):
        for value in values:
            picture(tmp_path / part / "only" / f"{value}.png", value, mode="L")
    found = read_folder(tmp_path, {"gray": True})
    assert found.inputs[:, 0, 0, 0].tolist() == [10, 20, 30, 40]
    assert found.validation.tolist() == [2]
    assert found.test.tolist() == [3]


def test_size_resizes(tmp_path):
    """Pictures of different sizes need `size`, and get it."""
    picture(tmp_path / "a" / "1.png", 7, (8, 8), "L")
    picture(tmp_path / "a" / "2.png", 9, (4, 2), "L")
    with pytest.raises(InputError, match="size"):
        read_folder(tmp_path, {"gray": True})
    found = read_folder(tmp_path, {"gray": True, "size": [5, 6]})
    assert found.inputs.shape == (2, 1, 5, 6)
    assert found.inputs[1].max() == 9


def test_large_sets_are_decoded_late(tmp_path, monkeypatch):
    """Above the memory limit pictures are read per batch, with the same values."""
    for value in range(5):
        picture(tmp_path / "a" / f"{value}.png", value, mode="L")
    whole = read_folder(tmp_path, {"gray": True}).inputs
    monkeypatch.setattr(folder_module, "MEMORY_BYTES", 10)
    late = read_folder(tmp_path, {"gray": True}).inputs
    assert not isinstance(late, np.ndarray)
    assert np.array_equal(late[np.array([3, 1])], whole[[3, 1]])


@pytest.mark.parametrize("cut", [0, 20, 2000])
def test_damaged_pictures_are_named(tmp_path, cut):
    """A truncated file is one input error with its path."""
    path = tmp_path / "a" / "1.png"
    path.parent.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"1\.png cannot be decoded"):
        read_folder(tmp_path, {})


def test_structure_errors(tmp_path):
    """No folder, no classes, no pictures, and strange classes are four clear errors."""
    with pytest.raises(InputError, match="not a folder"):
        read_folder(tmp_path / "nowhere", {})
    with pytest.raises(InputError, match="no class folders"):
        read_folder(tmp_path, {})
    (tmp_path / "train" / "a").mkdir(parents=True)
    with pytest.raises(InputError, match="no pictures"):
        read_folder(tmp_path, {})
    picture(tmp_path / "train" / "a" / "1.png", 1)
    picture(tmp_path / "test" / "b" / "1.png", 1)
    with pytest.raises(InputError, match="classes without training pictures: b"):
        read_folder(tmp_path, {})
    with pytest.raises(RecipeError, match="colour"):
        read_folder(tmp_path, {"colour": 1})


def test_missing_pillow_names_the_extra(tmp_path, monkeypatch):
    """Without Pillow the error says what to install."""
    picture(tmp_path / "a" / "1.png", 1)
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"nibblefit\[image\]"):
        read_folder(tmp_path, {})
