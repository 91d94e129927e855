"""The border to the shell: every exception becomes a text and an exit code."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nibblefit import errors
from nibblefit.cli import app as tree
from nibblefit.cli import main
from nibblefit.cli.invocation import Invocation


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException, Invocation], None]:
    """Return a function that makes the next command raise, after leaving facts behind."""

    def install(error: BaseException, facts: Invocation) -> None:
        def command(*, obj: Invocation, **_: object) -> None:
            obj.folder, obj.resume = facts.folder, facts.resume
            raise error

        monkeypatch.setattr(tree, "app", command)

    return install


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InputError("x is unreadable", hint="save it again"), 2),
        (errors.RecipeError("recipe r has one problem", problems=["line 3: no"]), 2),
        (errors.PluginError("target 't' broke"), 3),
        (errors.LimitError("gate 'floor' is closed"), 4),
        (errors.UnsupportedError("layer 'a' cannot run"), 4),
        (errors.InterruptedRunError("stopped"), 130),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_known_errors_print_themselves(
    failing: Callable[..., None], capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    """An explained error is printed as it is, without a traceback, with its own code."""
    failing(error, Invocation())
    assert main(["x"]) == code
    shown = capsys.readouterr()
    assert shown.err == f"{error}\n"
    assert shown.out == ""


def test_interruption_says_how_to_resume(
    failing: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C ends with 130 and the command that carries on."""
    failing(KeyboardInterrupt(), Invocation(resume="nibblefit run r.toml"))
    assert main(["x"]) == 130
    assert "→ nibblefit run r.toml carries on" in capsys.readouterr().err


def test_defect_leaves_its_traceback_in_the_run_folder(
    failing: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """An unexpected exception prints two lines and keeps the traceback beside the run."""
    failing(ZeroDivisionError("division by\nzero"), Invocation(folder=tmp_path))
    assert main(["x"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("unexpected ZeroDivisionError: division by zero\n")
    assert str(tmp_path / "traceback.txt") in shown
    assert "Traceback (most recent" not in shown
    assert "raise error" in (tmp_path / "traceback.txt").read_text()


def test_defect_without_a_run_uses_the_temporary_folder(
    failing: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where no run folder exists, the traceback goes to the temporary folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    failing(ValueError(), Invocation(folder=tmp_path / "missing"))
    assert main(["x"]) == 1
    assert "no message" in capsys.readouterr().err
    assert (tmp_path / "nibblefit-traceback.txt").is_file()


@pytest.mark.parametrize("words", [["--traceback", "x"], ["x", "--traceback"]])
def test_traceback_on_request(
    failing: Callable[..., None], capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """--traceback shows it, wherever it stands in the command."""
    failing(ValueError("boom"), Invocation())
    assert main(words) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["bogus"], "bogus"),
        (["run"], "nibblefit run --help"),
        (["run", "r.toml", "--bogus"], "--bogus"),
        (["inspect", "m.py:f", "--target", "generic", "--input-shape", "1,x"], "--input-shape"),
        (["inspect", "m.py:f", "--target", "generic", "--input-shape", "0,3"], "channels first"),
        (["init", "--data", "idx"], "--data idx"),
    ],
)
def test_wrong_usage_exits_2(
    capsys: pytest.CaptureFixture[str], words: list[str], named: str
) -> None:
    """What cannot be understood is named, in at most two lines."""
    assert main(words) == 2
    shown = capsys.readouterr().err
    assert named in shown
    assert len(shown.splitlines()) <= 2


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """A bare call shows what there is, as a usage error."""
    assert main([]) == 2
    assert "inspect" in "".join(capsys.readouterr())
