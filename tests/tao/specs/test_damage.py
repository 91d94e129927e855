"""Damaged specs: explained in words, never a traceback, and quickly."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest

from nibblefit.errors import NibblefitError
from nibblefit_tao.specs.conversion.from_yaml import yaml_to_recipe
from nibblefit_tao.specs.conversion.to_recipe import to_recipe
from nibblefit_tao.specs.typed import read_spec
from nibblefit_tao.specs.yaml import read_yaml_spec

#: What is pushed in: bombs, code, nesting, numbers of all sizes, bytes that split lines.
SPLINTERS = (
    '"9**9**9"', "9**9**9", '__import__("os")', "{" * 500, "[" * 2000, "- " * 3000, "1e999",
    "9" * 6000, "-1", "nan", "inf", "0x" + "f" * 5000, "&a [*a,*a]", "*x", "<<: *a", "{a: " * 300,
    "!!python/object:os.system x", "2001-99-99", "%YAML 9.9\n", "---\n", "\0", "\x85", "\u2028",
    "'", '"', "}", "<", ">", ":", "\t", '"' + "[" * 900 + '"', "0", "true", "[]", "null",
    "a: &a [x]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]\n",
)  # fmt: skip
_VALUES = re.compile(r"(?<=: )\S+|[\d.e-]+")


def damaged(text: str, draw: random.Random) -> str:
    """Remove, insert, cut off, unbalance or replace."""
    place, kind = draw.randrange(len(text) + 1), draw.randrange(5)
    if kind == 0:
        return text[:place] + text[place + draw.randrange(1, 30) :]
    if kind == 1:
        return text[:place] + draw.choice(SPLINTERS) + text[place:]
    if kind == 2:
        return text[:place]
    marks = [found.start() for found in re.finditer(r"""[{}\[\]:"']""", text)]
    if kind == 3 and marks:
        place = draw.choice(marks)
        return text[:place] + text[place + 1 :]
    values = [found.span() for found in _VALUES.finditer(text)]
    start, end = draw.choice(values) if values else (0, 0)
    return text[:start] + draw.choice(SPLINTERS) + text[end:]


def convert(path: Path) -> None:
    """Do what `nibblefit tao spec` does."""
    if path.suffix == ".yaml":
        yaml_to_recipe(read_yaml_spec(path)).text()
    else:
        to_recipe(read_spec(path)).text()


def refusal(path: Path) -> str:
    """Return what is said of a file that is refused; anything but an explanation is raised."""
    try:
        convert(path)
    except NibblefitError as error:
        return error.what
    return ""


def check(shared: Path, tmp_path: Path, count: int, seed: int) -> None:
    """Damage the vendor's files in turn; each is converted or refused in words."""
    files = sorted((shared / "vendor" / "tao" / "specs").iterdir())
    draw, refused = random.Random(seed), 0
    for number in range(count):
        file = files[number % len(files)]
        text = file.read_text()
        for _ in range(draw.choice((1, 1, 2, 5))):
            text = damaged(text, draw)
        path = tmp_path / f"spec{file.suffix}"
        path.write_text(text, encoding="utf-8")
        begun = time.process_time()
        said = refusal(path)
        if said:
            refused += 1
            assert path.name in said
            assert len(said.splitlines()) <= 12
        assert time.process_time() - begun < 10.0
    assert refused > count / 2


def test_damaged_specs_are_converted_or_refused_in_words(shared: Path, tmp_path: Path) -> None:
    """350 damages, each file in turn."""
    check(shared, tmp_path, 350, 1)


@pytest.mark.slow
def test_many_damaged_specs(shared: Path, tmp_path: Path) -> None:
    """4,000 damages."""
    check(shared, tmp_path, 4000, 2)


@pytest.mark.parametrize(("name", "size"), [("a.txt", 2**19), ("a.yaml", 2**19)])
def test_files_too_long_for_a_spec_are_refused_unread(tmp_path: Path, name: str, size: int) -> None:
    """Half a megabyte of fields."""
    (tmp_path / name).write_text("random_seed: 42\n" * (size // 16))
    with pytest.raises(NibblefitError, match="is longer than"):
        convert(tmp_path / name)
