"""Help is instant and teaches: what a command is for, an example, what comes next."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from nibblefit.cli.app import app

COMMANDS = ("init", "inspect", "run", "prepare", "train", "prune", "quantize", "compile",
            "evaluate", "show", "report", "targets", "check")  # fmt: skip
HEAVY = ("torch", "onnx", "numpy", "lightning", "matplotlib", "jinja2", "sklearn")


def _run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, check=False, capture_output=True, text=True,
                          env={**os.environ, **environment})  # fmt: skip


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS)], ids=str)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    """Neither the overall help nor a command's waits for numpy, torch or the like."""
    script = (
        "import sys\n"
        "from nibblefit.cli import main\n"
        f"code = main({[*words, '--help']!r})\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(f'exit {code}, imported {heavy}' if code or heavy else 0)\n"
    )
    done = _run(sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_help_teaches(name: str) -> None:
    """Every command shows an example of itself and names what comes next."""
    text = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "120"}).stdout
    assert f"Example: nibblefit {name}" in text
    assert "Next: " in text


def test_overview_lists_every_command() -> None:
    """The overview names all commands and where to start."""
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).stdout
    assert all(f" {name} " in text for name in COMMANDS)
    assert "Start here: nibblefit init" in text


def test_tables_have_json() -> None:
    """Every command that prints a table offers --json."""
    without = {"init", "report"}
    for name in set(COMMANDS) - without:
        text = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "120"}).stdout
        assert "--json" in text, name


def test_module_runs_as_program() -> None:
    """``python -m nibblefit --version`` prints the version."""
    done = _run(sys.executable, "-m", "nibblefit", "--version")
    assert done.returncode == 0
    assert done.stdout.startswith("nibblefit 0.")


def test_shell_completion_offers_commands() -> None:
    """The completion protocol of bash lists the commands."""
    script = "import sys; from nibblefit.cli import main; sys.exit(main())"
    asked = {
        "_NIBBLEFIT_COMPLETE": "complete_bash",
        "COMP_WORDS": "nibblefit in",
        "COMP_CWORD": "1",
    }
    done = _run(sys.executable, "-c", script, **asked)
    assert {"init", "inspect"} <= set(done.stdout.split())


@pytest.mark.parametrize("command", ["run", "init", "check", "targets", ""])
def test_flags_look_like_flags(command: str) -> None:
    """No value is shown behind options that take none, ``--help`` included."""
    shown = CliRunner().invoke(app, [*command.split(), "--help"]).output
    assert "--help" in shown
    assert "bool" not in shown.lower()
    assert command != "run" or "<path>" in shown
