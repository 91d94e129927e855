"""Truncated and bit-flipped files of the user: read as they are, or one clear line."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from tests.robustness.commands import assert_refused, here
from tests.robustness.damage import damaged
from tests.robustness.inputs import KINDS, Kind

from nibblefit.errors import InputError, UnsupportedError

#: With the run folder's and the chip's files well over the two hundred that are promised.
_QUICK = range(60)
_LONG = range(60, 1060)


def _read_damaged(kind: Kind, numbers: range, folder: Path) -> int:
    """Read every damage; return how many were refused. Anything but an explained error escapes."""
    kind.make(folder)
    kind.read(folder)
    path = folder / kind.file
    whole, messages = path.read_bytes(), []
    for number in numbers:
        path.write_bytes(damaged(whole, number))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                kind.read(folder)
        except (InputError, UnsupportedError) as error:
            messages.append(str(error))
        except BaseException as error:
            error.add_note(f"damage {number} of {kind.file}")
            raise
    for message in messages:
        assert kind.file in message or "network" in message, message
        assert len(message) < 4000
    return len(messages)


@pytest.mark.parametrize("name", KINDS)
def test_damaged_file_is_read_or_explained(name: str, tmp_path: Path) -> None:
    """Every kind of file a user hands over, in sixty damaged versions."""
    assert _read_damaged(KINDS[name], _QUICK, tmp_path) >= len(_QUICK) // 5  # all truncations


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_many_damaged_files_are_read_or_explained(name: str, tmp_path: Path) -> None:
    """A thousand more of each kind."""
    assert _read_damaged(KINDS[name], _LONG, tmp_path) >= len(_LONG) // 5


@pytest.mark.parametrize("name", KINDS)
def test_the_command_line_names_the_damaged_file(name: str, tmp_path: Path) -> None:
    """A truncated file through ``nibblefit prepare``: exit code 2, the file in the message."""
    kind = KINDS[name]
    kind.make(tmp_path)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(kind.words + '[target]\nname = "generic"\n')
    words = ("prepare", str(recipe), "--folder", str(tmp_path / "run"))
    if "data" not in kind.words:
        words = (*words, "--set", "model.input_shape=[1,8,8]")
    path = tmp_path / kind.file
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert_refused(here(*words), 2, kind.file)
    path.write_bytes(content)
    assert here(*words).code == 0
