"""``nibblefit tidl triage``: options that say something about traces need traces."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from nibblefit.errors import InputError
from nibblefit_tidl.triage.command import triage


@pytest.mark.parametrize("words", [
    ("--layer-info", "a.txt"), ("--input", "a.npy"), ("--padding", "1,1,1,1"),
    ("--channel-gap", "4"), ("--height-first",), ("--subgraph", "1"),
])  # fmt: skip
def test_what_is_said_about_traces_that_are_not_given_is_refused(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    """Each option by name, before anything is computed."""
    app = typer.Typer()
    app.command("triage")(triage)
    result = CliRunner().invoke(app, [str(tmp_path), *words])
    assert isinstance(result.exception, InputError)
    assert f"{words[0]} is about traces, and there are none" in result.exception.what
