"""Results on stdout: JSON that any parser takes, tables that keep their numbers."""

from __future__ import annotations

import io
import json
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from rich.console import Console

from nibblefit.cli.output import findings_table, plain, write_json, write_table
from nibblefit.cli.reporter import TerminalReporter, figures_text
from nibblefit.results import ArtifactFile, Finding, Status, Table


def test_json_holds_every_kind_of_value(capsys: pytest.CaptureFixture[str]) -> None:
    """Dataclasses, enums, paths, arrays and NaN become strict JSON."""
    finding = Finding("a.b", Status.PASSED, "fine", value=float("nan"))
    file = ArtifactFile("yaml", PurePosixPath("a/b"), "00")
    write_json({"finding": finding, "file": file, 3: np.arange(2), "set": {1}, "path": Path("x")})
    read = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert read["finding"]["status"] == "passed"
    assert read["finding"]["value"] is None
    assert read["file"]["path"] == "a/b"
    assert read["3"] == [0, 1]
    assert read["set"] == [1]
    assert read["path"] == "x"


def test_plain_keeps_nesting() -> None:
    """Tuples become lists at every depth; infinities become null."""
    assert plain((1, (2.5, float("inf")), {"a": None})) == [1, [2.5, None], {"a": None}]


def test_table_prints_whole_cells(capsys: pytest.CaptureFixture[str]) -> None:
    """Markup-like text in cells is printed, not interpreted, and nothing is cut off."""
    finding = Finding("a", Status.FAILED, "kernel [5, 5] is too large", "conv[1]", "use [3, 3]")
    write_table(findings_table("Support", (finding,)))
    write_table(Table("Numbers", ("name", "value"), (("x", 1.5), ("y", None))))
    shown = capsys.readouterr().out
    for text in ("kernel [5, 5] is too large", "conv[1]", "use [3, 3]", "failed", "1.5", "–"):
        assert text in shown


def _console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, legacy_windows=False)


def _written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_reporter_leaves_one_line_per_bar_in_a_log() -> None:
    """Without a terminal a bar ends in one plain line with its last figures."""
    console = _console(terminal=False)
    reporter = TerminalReporter(console)
    reporter.say("train [1/2]")
    reporter.warn("clipped")
    with reporter.progress("epoch 1", 3) as bar:
        bar.advance(loss=2.0)
        bar.advance(2, loss=0.5, val_top1=0.975)
    assert _written(console) == (
        "train [1/2]\nwarning: clipped\n  epoch 1: 3/3  loss 0.5  val_top1 97.5 %\n"
    )


def test_reporter_draws_on_a_terminal() -> None:
    """On a terminal the bar shows label, count and figures."""
    console = _console(terminal=True)
    with TerminalReporter(console).progress("epoch 1", 2) as bar:
        bar.advance(2, loss=0.25)
    shown = _written(console)
    assert "epoch 1" in shown
    assert "2/2" in shown
    assert "loss 0.25" in shown


def test_steps_are_numbered_and_explained() -> None:
    """Headings count along the plan; rounds count as their step; reuse and reasons are said."""
    console = _console(terminal=False)
    reporter = TerminalReporter(console, steps=["prepare", "float"])
    reporter.step("prepare", "")
    reporter.step("float@2", "not run yet")
    reporter.step("float", "train.epochs 30 → 40")
    reporter.step("extra", "not run yet")
    assert _written(console) == (
        "1/2 prepare: reused (nothing changed)\n"
        "2/2 float@2\n"
        "2/2 float: run again because train.epochs 30 → 40\n"
        "extra\n"
    )


def test_failed_bar_says_nothing_of_success() -> None:
    """A bar that an error ends leaves no closing line."""
    console = _console(terminal=False)
    with (
        pytest.raises(ZeroDivisionError),
        TerminalReporter(console).progress("epoch", None) as bar,
    ):
        bar.advance(1 // 0)
    assert _written(console) == ""


def test_figures_show_shares_in_percent() -> None:
    """Accuracies and zeros are percentages, everything else is a number."""
    assert figures_text({"loss": 1.23456, "acc": 0.5, "topology": 3.0}) == (
        "loss 1.235  acc 50.0 %  topology 3"
    )
    assert figures_text({"sparsity": 0.8}) == "sparsity 80.0 %"
