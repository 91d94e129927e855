"""The commands that look: their tables, their JSON, and what they say to hostile input."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from tests.core.report.run_folders import make_run

from nibblefit.cli import main
from nibblefit.conformance.records import Outcome, Record
from nibblefit.recipe_file import read_recipe


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run folder; tests only read it."""
    return make_run(tmp_path_factory.mktemp("runs") / "tiny")


def test_show_prints_steps_numbers_and_files(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Steps with reason, accuracies with drop, and the paths of the files."""
    assert main(["show", str(finished)]) == 0
    shown = capsys.readouterr().out
    for text in ("train.epochs 30 → 40", "12.5 s", "88.89 %", "83.33 %", "5.56 points", "failed"):
        assert text in shown
    assert "net.yaml" in shown.replace("\n", "")


def test_show_as_json(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same as JSON, with exact numbers."""
    assert main(["show", str(finished), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["metric"] == "top1"
    assert shown["drop"] == pytest.approx(0.0556)
    assert (shown["float_bytes"], shown["integer_bytes"]) == (60, 9)
    assert shown["exactness"]["verdict"] == "exact"
    assert shown["exactness"]["messages"] == ["judge and engine agree on 1,234 integers"]
    assert [step["name"] for step in shown["steps"]][-1] == "last"
    assert shown["files"][0]["role"] == "yaml"


@pytest.mark.extra("report")
def test_report_says_where_it_is(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The path of the written file is printed alone on its line."""
    out = tmp_path / "r.html"
    assert main(["report", str(finished), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"wrote {out}\n"
    assert out.is_file()


def test_targets_lists_generic(capsys: pytest.CaptureFixture[str]) -> None:
    """The built-in target is there, as a table and as JSON, and loads."""
    assert main(["targets", "--check"]) == 0
    assert "generic" in capsys.readouterr().out
    assert main(["targets", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["generic"]["package"] == "nibblefit"
    assert rows["generic"]["problem"] == ""


def test_init_writes_a_recipe_that_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recipe and starter network are written, and the next command is named."""
    monkeypatch.chdir(tmp_path)
    assert main(["init", "sub/r.toml"]) == 0
    assert "next: nibblefit run sub/r.toml" in capsys.readouterr().out
    recipe = read_recipe(tmp_path / "sub" / "r.toml")
    assert recipe.target.name == "generic"
    assert recipe.model.source == "network.py:small_cnn"
    assert (tmp_path / "sub" / "network.py").is_file()


def test_init_keeps_existing_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that exists is refused untouched, unless --force is given."""
    monkeypatch.chdir(tmp_path)
    Path("r.toml").write_text("mine", encoding="utf-8")
    assert main(["init", "r.toml"]) == 2
    assert "--force" in capsys.readouterr().err
    assert Path("r.toml").read_text(encoding="utf-8") == "mine"
    assert not Path("network.py").exists()
    Path("network.py").write_text("my network", encoding="utf-8")
    assert main(["init", "r.toml", "--force"]) == 0
    assert "[model]" in Path("r.toml").read_text(encoding="utf-8")
    assert Path("network.py").read_text(encoding="utf-8") == "my network"


def test_init_sees_paths_from_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths given from the current folder are written as the recipe's folder sees them."""
    monkeypatch.chdir(tmp_path)
    Path("nets").mkdir()
    Path("nets/n.py").write_text("", encoding="utf-8")
    Path("images").mkdir()
    words = ["--model", "nets/n.py:make", "--data", "folder:images", "recipes/r.toml"]
    assert main(["init", *words]) == 0
    recipe = read_recipe("recipes/r.toml")
    assert recipe.model.source == "../nets/n.py:make"
    assert (recipe.data.source, recipe.data.path) == ("folder", "../images")
    assert not Path("recipes/network.py").exists()


def test_init_refuses_an_unknown_part(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that the target does not have is named."""
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--part", "nosuch"]) == 2
    assert "nosuch" in capsys.readouterr().err
    assert not Path("recipe.toml").exists()


def _places(folder: Path) -> dict[str, Path]:
    """Return things that are no recipe, no model and no run folder."""
    binary = folder / "binary.toml"
    binary.write_bytes(bytes(range(256)) * 20)
    empty = folder / "empty.toml"
    empty.write_bytes(b"")
    fifo = folder / "pipe"
    os.mkfifo(fifo)
    return {"missing": folder / "missing", "folder": folder, "binary": binary, "empty": empty,
            "pipe": fifo, "nul": Path("a\0b"), "long": Path("x" * 5000)}  # fmt: skip


@pytest.mark.parametrize("kind", ["missing", "folder", "binary", "empty", "pipe", "nul", "long"])
@pytest.mark.parametrize("command", ["run", "train", "show", "report", "inspect"])
def test_hostile_input_is_explained(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    kind: str,
) -> None:
    """Whatever is given instead of a recipe, network or run: a clear text, code 2, no traceback."""
    monkeypatch.chdir(tmp_path)
    more = ["--target", "generic", "--input-shape", "1,8,8"] if command == "inspect" else []
    assert main([command, str(_places(tmp_path)[kind]), *more]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err
    assert "Traceback" not in shown.err
    assert "unexpected" not in shown.err
    assert not (tmp_path / "runs").exists()


def test_json_errors_leave_stdout_empty(capsys: pytest.CaptureFixture[str]) -> None:
    """An error with --json writes nothing to stdout, so a parser never sees half a document."""
    assert main(["show", "nowhere", "--json"]) == 2
    assert capsys.readouterr().out == ""


def test_unknown_target_names_the_closest(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt target is a usage error with a suggestion."""
    for words in (["check", "genric"], ["init", "--target", "genric"]):
        assert main(words) == 2
        assert "generic" in capsys.readouterr().err


def _records(*, failing: bool) -> list[Record]:
    outcome = Outcome.FAILED if failing else Outcome.SKIPPED
    return [
        Record("contract.info", Outcome.PASSED, "", "why one", "how one"),
        Record("numerics.rounding", outcome, "rounds wrongly", "why two", "how two"),
    ]


@pytest.mark.parametrize("failing", [False, True])
def test_check_prints_every_check(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, failing: bool
) -> None:
    """One line per check, a count, and for failures the reason, the remedy and code 4."""
    monkeypatch.setattr(
        "nibblefit.conformance.table.run", lambda *_, **__: _records(failing=failing)
    )
    assert main(["check", "toychip"]) == (4 if failing else 0)
    shown = capsys.readouterr()
    assert "contract.info" in shown.out
    assert "rounds wrongly" in shown.out
    assert ("1 failed, 1 passed" if failing else "1 passed, 1 skipped") in shown.out
    assert ("why two" in shown.out) is failing
    assert ("→ start with numerics.rounding: how two" in shown.err) is failing


def test_check_as_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The records as JSON; stdout stays pure although the command fails."""
    monkeypatch.setattr("nibblefit.conformance.table.run", lambda *_, **__: _records(failing=True))
    assert main(["check", "toychip", "--json"]) == 4
    shown = json.loads(capsys.readouterr().out)
    assert shown["passed"] is False
    assert [check["status"] for check in shown["checks"]] == ["passed", "failed"]


def test_check_without_its_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If pytest is missing, the extra to install is named."""

    class Missing:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "nibblefit.conformance.table":
                raise ModuleNotFoundError("No module named 'pytest'", name="pytest")

    monkeypatch.delitem(sys.modules, "nibblefit.conformance.table", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    assert main(["check", "toychip"]) == 2
    assert "nibblefit[conformance]" in capsys.readouterr().err
