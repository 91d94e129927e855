"""Samples to calibrate on: found, scaled like the data set, and refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nibblefit.data.calibration import make_calibration
from nibblefit.data.catalog import make_data
from nibblefit.data.source import DataSource, Split
from nibblefit.errors import InputError, NibblefitError, RecipeError, UnsupportedError
from nibblefit.recipe import Recipe
from nibblefit.runner import load_recipe

Image = pytest.importorskip("PIL.Image", reason="extra 'image' is not installed")
pytest.importorskip("sklearn", reason="extra 'train' is not installed")

PIXELS = np.random.default_rng(3).integers(0, 256, (6, 8, 8), dtype=np.uint8)


def recipe(folder: Path, samples: int = 6, data: dict[str, Any] | None = None,
           **calibration: Any) -> Recipe:  # fmt: skip
    """Return a recipe in a folder, calibrated on what its folder `calib` holds."""
    return Recipe.model_validate({
        "model": {"source": "none"}, "target": {"name": "generic"}, "folder": str(folder),
        "data": {"range": [-1.0, 1.0], "mean": [0.5], **(data or {})},
        "quantize": {"calibration_samples": samples},
        "calibration": {"path": "calib", **calibration},
    })  # fmt: skip


def made(asked: Recipe) -> DataSource:
    """Return the calibration data of a recipe."""
    return make_calibration(asked, make_data(asked))


def pictures(folder: Path, pixels: np.ndarray = PIXELS, mode: str = "L") -> Path:
    """Write pictures, every second one deeper, beside a file that is none."""
    (folder / "calib" / "deeper").mkdir(parents=True)
    for number, picture in enumerate(pixels):
        place = folder / "calib" / ("deeper" if number % 2 else ".")
        Image.fromarray(picture).convert(mode).save(place / f"{number}.png")
    (folder / "calib" / "notes.txt").write_text("not a picture")
    return folder


def test_pictures_need_no_labels_and_are_scaled_like_the_data(tmp_path: Path) -> None:
    """All of them, in the order of their paths, by the formula of [data]."""
    found = made(recipe(pictures(tmp_path)))
    values, _ = found.batch(Split.TRAIN, 0, 6)
    wanted = PIXELS[[0, 2, 4, 1, 3, 5]][:, None] / 256 * 2 - 1 - 0.5
    np.testing.assert_array_equal(values, wanted.astype(np.float32))
    assert len(found.split(Split.VALIDATION)) == len(found.split(Split.TEST)) == 0


def test_colour_becomes_what_the_network_takes(tmp_path: Path) -> None:
    """Colour pictures calibrate a network of one channel."""
    found = made(recipe(pictures(tmp_path, mode="RGB")))
    values, _ = found.batch(Split.TRAIN, 0, 1)
    assert values.shape == (1, 1, 8, 8)


def test_pictures_are_resized_only_where_something_says_so(tmp_path: Path) -> None:
    """By the options of calibration, or like the pictures of the data set."""
    folder = pictures(tmp_path, np.kron(PIXELS, np.ones((1, 2, 1), np.uint8)))
    with pytest.raises(InputError, match=r"0.png is 16 × 8 pixels, the network takes 8 × 8"):
        made(recipe(folder))
    assert made(recipe(folder, options={"size": 8})).input_shape == (1, 8, 8)
    for name in "ab":
        (folder / "classes" / name).mkdir(parents=True)
        Image.fromarray(PIXELS[0]).save(folder / "classes" / name / "1.png")
    data = {"source": "folder", "path": "classes", "options": {"size": [10, 12], "gray": True},
            "validation": 0.0, "test": 0.0}  # fmt: skip
    assert made(recipe(folder, data=data)).input_shape == (1, 10, 12)


def test_arrays_calibrate_too(tmp_path: Path) -> None:
    """Sources of [data] serve, with or without labels; every sample counts."""
    np.savez(tmp_path / "x.npz", x=PIXELS, y=np.arange(6))
    found = made(recipe(tmp_path, source="npz", path="x.npz"))
    assert len(found.split(Split.TRAIN)) == 6
    np.savez(tmp_path / "x.npz", x=PIXELS)
    again = made(recipe(tmp_path, source="npz", path="x.npz"))
    np.testing.assert_array_equal(
        found.batch(Split.TRAIN, 0, 6)[0], again.batch(Split.TRAIN, 0, 6)[0]
    )


def test_a_python_source_gives_its_training_split(tmp_path: Path) -> None:
    """What a factory returns is taken as it is."""
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def make():\n    return {'x': np.zeros((9, 1, 8, 8), np.float32), 'y': np.zeros(9, int)}\n"
    )
    found = made(recipe(tmp_path, source="python", path="mine.py:make"))
    assert len(found.split(Split.TRAIN)) == 9


@pytest.mark.parametrize(
    ("files", "words", "hint"),
    [
        (None, "calib of calibration pictures is not there", "calibration.path"),
        ({}, "holds no calibration pictures: it is empty", ".png"),
        ({"a.txt": b"x"}, "no calibration pictures: only other files, such as a.txt", ".png"),
        ({"a.png": b"x"}, "a.png cannot be decoded", "replace or remove"),
    ],
)
def test_a_folder_that_cannot_serve_is_refused(
    tmp_path: Path, files: dict[str, bytes] | None, words: str, hint: str
) -> None:
    """Missing, empty, without pictures, with a damaged one: one line each."""
    if files is not None:
        (tmp_path / "calib").mkdir()
        for name, content in files.items():
            (tmp_path / "calib" / name).write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        made(recipe(tmp_path))
    assert hint in caught.value.hint
    assert "\n" not in caught.value.what


def test_too_few_and_unfit_samples_are_refused(tmp_path: Path) -> None:
    """Says how many there are, how many were asked for, and which shapes do not fit."""
    with pytest.raises(
        InputError, match=r"holds 6 samples, quantize\.calibration_samples asks for 7"
    ):
        made(recipe(pictures(tmp_path), samples=7))
    np.savez(tmp_path / "x.npz", x=np.zeros((9, 2, 8, 8), np.float32))
    with pytest.raises(InputError, match=r"shape \[2, 8, 8\], the network takes \[1, 8, 8\]"):
        made(recipe(tmp_path, source="npz", path="x.npz"))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file, no folder"):
        made(recipe(tmp_path, path="file"))
    data = {"source": "npz", "path": "x.npz", "mean": []}
    with pytest.raises(UnsupportedError, match=r"inputs of shape \[2, 8, 8\]"):
        made(recipe(tmp_path, data=data))


def test_problems_name_the_keys_of_calibration(tmp_path: Path) -> None:
    """Readers of [data] are told apart from those of [calibration]."""
    with pytest.raises(NibblefitError, match="does not exist") as caught:
        made(recipe(tmp_path, source="npz", path="x.npz"))
    assert caught.value.hint == "check calibration.path"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('path = "x"\nsource = "picture"', "calibration.source = 'picture': .* 'pictures'"),
        ('path = "x"\nsource = "digits"', "calibration.source = 'digits': there is no such"),
        ('path = "x"\noptions = {sise = 3}', "unknown key 'sise' in .*; did you mean 'size'"),
        ('path = "x"\noptions = {size = 0}', r"calibration\.options\.size = 0"),
        ("options = {size = 3}", "calibration.path is missing"),
    ],
)
def test_a_recipe_is_checked_before_anything_runs(tmp_path: Path, lines: str, words: str) -> None:
    """One line each, with its number."""
    path = tmp_path / "recipe.toml"
    path.write_text(f"""[model]
source = "none.onnx"
[target]
name = "generic"
[calibration]
{lines}
""")
    with pytest.raises(RecipeError, match=f"line [5-7]: .*{words}"):
        load_recipe(path)
