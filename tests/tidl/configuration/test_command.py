"""``nibblefit tidl config`` and ``nibblefit tidl log``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.tidl.configuration.test_classic import FILE
from tests.tidl.configuration.test_import_log import NEW
from tests.tidl.configuration.test_importer import TEXT
from tests.tidl.configuration.test_zoo import GOOD
from typer.testing import CliRunner

from nibblefit.errors import InputError, LimitError, RecipeError
from nibblefit_tidl.configuration.command import config, log


def run(*words: str) -> str:
    """Return what a command prints; errors are raised."""
    app = typer.Typer()
    app.command("config")(config)
    app.command("log")(log)
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    if result.exception:
        raise result.exception
    return result.stdout


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("import.txt", FILE, "classic"),
        ("import.txt", TEXT, "importer"),
        ("options.json", '{"tensor_bits": 8}', "provider"),
        ("model.yaml", GOOD, "model"),
        ("index.yaml", "# list\nconfigs:\n  cl-1: a.yaml\n", "index"),
    ],
)
def test_the_kind_of_a_file_is_found(tmp_path: Path, name: str, text: str, kind: str) -> None:
    """Suffix and keys tell the five kinds apart; the kind may also be given."""
    path = tmp_path / name
    path.write_text(text)
    found: Any = json.loads(run("config", str(path), "--json"))
    assert found["kind"] == kind
    assert found["values"]
    assert f"({kind})" in run("config", str(path), "--kind", kind)


def test_keys_are_explained_and_advice_is_given(tmp_path: Path) -> None:
    """Every key has its meaning beside it, and few frames are minded."""
    path = tmp_path / "options.json"
    path.write_text('{"advanced_options": {"calibration_frames": 2}}')
    text = run("config", str(path), "--part", "am62a")
    assert "advanced_options:calibration_frames" in text
    assert "at least 10, better 50" in text
    assert "mind: 2 calibration frames are few" in text


def test_unknown_formats_kinds_and_devices_are_refused(tmp_path: Path) -> None:
    """Each ends in one sentence that says what is known."""
    path = tmp_path / "notes.txt"
    path.write_text("hello = world")
    with pytest.raises(InputError, match="no known format"):
        run("config", str(path))
    with pytest.raises(InputError, match="no kind of configuration 'other'"):
        run("config", str(path), "--kind", "other")
    with pytest.raises(RecipeError, match="no part 'am62'"):
        run("config", str(path), "--part", "am62")


def test_a_log_is_shown_and_failures_are_counted(tmp_path: Path) -> None:
    """A sound log is a table; a failed import ends in status 4 with its explanation."""
    path = tmp_path / "import.log"
    path.write_text(NEW)
    assert "TIDL_EltWiseLayer" in run("log", str(path))
    assert json.loads(run("log", str(path), "--json"))["detected"] == 2
    path.write_text(NEW + "\nSetting RAND Kernel Params\n")
    with pytest.raises(LimitError, match="tells of 1 failure"):
        run("log", str(path))
