"""Commands that targets bring: found by name, one target loaded, every breach explained."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from nibblefit import plugins
from nibblefit.cli import main
from nibblefit.errors import PluginError
from nibblefit.hooks import hookimpl
from nibblefit.plugins import discovery, plugin_of

GOOD = """
from tests.core.pipeline.toys import Toy, toy_info
from nibblefit.errors import LimitError
from nibblefit.hooks import hookimpl

class WithCommands(Toy):
    info = toy_info()

    @hookimpl
    def add_commands(self, app):
        def say(word: str = "hello") -> None:
            "Say a word."
            print(word)

        def fail() -> None:
            "Fail."
            raise LimitError("too much")

        app.command("say")(say)
        app.command("fail")(fail)

TARGET = WithCommands()
"""
NONE = "from tests.core.pipeline.toys import Toy\nTARGET = Toy()\n"
RAISES = GOOD.replace('app.command("say")(say)', "raise KeyError('x')")
EMPTY = GOOD.replace('app.command("say")(say)', "").replace('app.command("fail")(fail)', "")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Return a function that installs a target with a module of its own."""
    entries: list[metadata.EntryPoint] = []
    monkeypatch.syspath_prepend(tmp_path)

    class Dist:
        """Stands for an installed distribution."""

        name, version = "nibblefit-toy", "1.2"

    def install(name: str, code: str) -> None:
        module = f"commanding_{len(entries)}"
        (tmp_path / f"{module}.py").write_text(code)
        entry = metadata.EntryPoint(name, f"{module}:TARGET", plugins.TARGETS)
        vars(entry).update(dist=Dist())
        entries.append(entry)

    monkeypatch.setattr(
        discovery.metadata, "entry_points", lambda group: [e for e in entries if e.group == group]
    )
    yield install
    for name in [name for name in sys.modules if name.startswith("commanding_")]:
        del sys.modules[name]


def test_command_of_a_target_runs(installed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Options work, and a broken neighbour is not even imported."""
    installed("toy", GOOD)
    installed("other", "raise RuntimeError('no')")
    assert main(["toy", "say", "--word", "hi"]) == 0
    assert capsys.readouterr().out == "hi\n"
    assert "commanding_1" not in sys.modules


def test_errors_of_a_command_have_their_exit_code(
    installed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit is 4 here as everywhere."""
    installed("toy", GOOD)
    assert main(["toy", "fail"]) == 4
    assert capsys.readouterr().err == "too much\n"


def test_help_of_a_target_lists_its_commands(
    installed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Summary and commands, under the target's name."""
    installed("toy", GOOD)
    assert main(["toy", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Say a word." in shown
    assert "A toy" in shown


@pytest.mark.parametrize(
    ("code", "exit_code", "words"),
    [
        (NONE, 4, "target 'toy' (nibblefit-toy 1.2) brings no commands of its own"),
        (RAISES, 3, "add_commands failed in target 'toy' (nibblefit-toy 1.2): KeyError: 'x'"),
        (EMPTY, 3, "registered no command"),
        ("raise RuntimeError('no')", 3, "cannot be imported"),
    ],
)  # fmt: skip
def test_target_that_cannot_offer_commands_is_explained(
    installed: Any, capsys: pytest.CaptureFixture[str], code: str, exit_code: int, words: str
) -> None:
    """One clear line with the plugin's name, package and what to do."""
    installed("toy", code)
    assert main(["toy", "say"]) == exit_code
    shown = capsys.readouterr().err
    assert words in shown
    assert "→" in shown
    assert "Traceback" not in shown


def test_unknown_word_is_still_a_usage_error(
    installed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is neither a command nor a target is refused as before."""
    installed("toy", GOOD)
    assert main(["tyo"]) == 2
    assert "No such command 'tyo'" in capsys.readouterr().err


def test_core_commands_cannot_be_replaced(
    installed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A target called like a command of core does not shadow it."""
    installed("targets", GOOD.replace("toy_info()", 'toy_info(name="targets")'))
    assert main(["targets", "--help"]) == 0
    assert "Say a word." not in capsys.readouterr().out


def test_help_imports_no_target() -> None:
    """The overview loads no plugin, however many are installed."""
    script = (
        "import sys\nfrom nibblefit.cli import main\nmain(['--help'])\n"
        "found = [m for m in sys.modules if m.startswith('nibblefit_')]\n"
        "sys.exit(f'imported {found}' if found else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_extensions_and_wrappers_bring_no_commands() -> None:
    """Commands belong to a target alone, and cannot be wrapped."""

    class Extension:
        """An extension with commands."""

        @hookimpl
        def add_commands(self, app: Any) -> None:
            """Do nothing."""

    class Wrapper:
        """An extension around commands."""

        @hookimpl(wrapper=True)
        def add_commands(self, app: Any) -> Any:
            """Do nothing."""
            return (yield)

    from tests.core.pipeline.toys import Toy

    class WrappingTarget(Toy):
        """A target that wraps instead of answering."""

        add_commands = Wrapper.add_commands

    for extension in (Extension(), Wrapper()):
        with pytest.raises(PluginError, match="commands belong to a target"):
            plugin_of(extension)
    with pytest.raises(PluginError, match="cannot wrap"):
        plugin_of(WrappingTarget())
