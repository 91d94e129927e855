"""Mutated, random and hostile files: a recipe or an explained error."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.recipe_file.recipes import VALID

from nibblefit.errors import RecipeError
from nibblefit.recipe_file import (
    read_recipe,
    recipe_digest,
    recipe_toml,
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00model", "not UTF-8"),
        (b"\x7fELF\x00\x00", "binary"),
        (b"a = [" * 3000, "nested too deeply|not TOML"),
        (b"a = " + b"9" * 5000, "not TOML"),
        (b"[model\n", "not TOML.*line 1"),
        (b"x = 1\nx = 2\n", "not TOML"),
        (b"#" * ((1 << 20) + 1), "larger than 1 MiB"),
        (b"", "2 problems"),
        (b"model = 3\ntarget = []", "line 1: model = 3: expected a table"),
        (b"train = [1]", "line 1: train = \\[1\\]: expected a table"),
    ],
)
def test_hostile_files_give_one_clear_error(content: bytes, message: str, write: Any) -> None:
    """Whatever the bytes, the answer is a RecipeError."""
    with pytest.raises(RecipeError, match=message):
        read_recipe(write(content))


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    """Missing files, folders and devices are told apart."""
    for path, message in (
        (tmp_path, "is a folder"),
        (tmp_path / "none.toml", "does not exist"),
        (Path("/dev/null"), "not a regular file"),
        (tmp_path / ("x" * 300), "cannot be read|does not exist"),
        (Path("a\0b"), "cannot be read|does not exist"),
    ):
        with pytest.raises(RecipeError, match=message):
            read_recipe(path)


def test_a_byte_order_mark_and_windows_lines_are_read(write: Any) -> None:
    """Editors add them."""
    raw = b"\xef\xbb\xbf" + VALID.replace("\n", "\r\n").encode()
    assert recipe_digest(read_recipe(write(raw))) == recipe_digest(read_recipe(write(VALID)))


def mutated(text: str, rng: random.Random) -> str:
    """Return a recipe with one to three random changes of characters, lines or values."""
    values = ["0", "-1", "1e99", "nan", '"x"', "[]", "{}", "true", "1979-05-27", "[[1], 2]"]
    values += ['"\\u0000"', "9" * 25, "{a = {b = [inf]}}", "''", "x"]
    for _ in range(rng.randint(1, 3)):
        lines = text.split("\n")
        row = rng.randrange(len(lines))
        column = rng.randint(0, len(text))
        match rng.randrange(8):
            case 0:
                text = text[:column] + text[column + rng.randint(1, 4) :]
            case 1:
                junk = "".join(
                    rng.choice("[]{}=.,\"'#\n\\x0é-_ ") for _ in range(rng.randint(1, 3))
                )
                text = text[:column] + junk + text[column:]
            case 2:
                del lines[row]
                text = "\n".join(lines)
            case 3:
                lines.insert(rng.randrange(len(lines)), lines[row])
                text = "\n".join(lines)
            case 4 | 5:
                key, sign, _ = lines[row].partition("=")
                if sign:
                    lines[row] = f"{key}= {rng.choice(values)}"
                text = "\n".join(lines)
            case 6:
                text = text[:column]
            case 7:
                rng.shuffle(lines)
                text = "\n".join(lines)
    return text


@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_mutated_recipes_each_read_or_are_explained(seed: int, write: Any) -> None:
    """Five hundred in all: a RecipeError or a recipe that can be digested, written and read."""
    rng = random.Random(seed)
    read = 0
    for _ in range(100):
        path = write(mutated(VALID, rng))
        try:
            recipe = read_recipe(path)
        except RecipeError:
            continue
        read += 1
        assert recipe_digest(read_recipe(write(recipe_toml(recipe)))) == recipe_digest(recipe)
    assert 0 < read < 100


@given(st.binary(max_size=60))
def test_random_bytes_are_explained(content: bytes) -> None:
    """No bytes make anything but a RecipeError."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "r.toml"
        path.write_bytes(content)
        with pytest.raises(RecipeError):
            read_recipe(path)
