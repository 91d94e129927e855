"""A whole run through the command line: progress, reuse, stages, interruption, report."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from nibblefit.cli import main
from nibblefit.plugins import list_targets

#: `init` writes a recipe for the digits of scikit-learn, and a run ends with the report.
pytestmark = pytest.mark.extra("train", "report")

TARGETS = [row.name for row in list_targets()]
QUICK = ("--set", "train.epochs=1", "--set", "evaluate.judge_samples=8",
         "--set", "quantize.calibration_samples=32", "--set", "run.threads=1")  # fmt: skip


@dataclass(frozen=True)
class Called:
    """What one command printed, and its exit code."""

    code: int
    stdout: str
    stderr: str


def _call(folder: Path, *words: str) -> Called:
    """Run a command in this process: starting torch anew for each would take most of the time."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), redirect_stdout(out), redirect_stderr(err):
        code = main(words)
    return Called(code, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Ran:
    """A folder with a recipe that has been run once, and what that printed."""

    folder: Path
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run the recipe that init writes."""
    folder = tmp_path_factory.mktemp("work")
    assert _call(folder, "init", "r.toml").code == 0
    done = _call(folder, "run", "r.toml", *QUICK, "--json")
    assert done.code == 0, done.stderr
    return Ran(folder, done.stdout, done.stderr)


def test_json_alone_goes_to_stdout(ran: Ran) -> None:
    """The summary is one JSON document with accuracies, sizes, files and the report."""
    summary = json.loads(ran.stdout)
    assert [m["subject"] for m in summary["measured"]] == ["float model", "integer graph"]
    assert 0 < summary["integer_bytes"] < summary["float_bytes"]
    assert summary["exactness"]["verdict"] == "exact"
    assert summary["files"]
    assert (ran.folder / summary["report"]).is_file()


def test_progress_counts_the_steps(ran: Ran) -> None:
    """Each step announces itself with its number; bars leave their last figures."""
    headings = [line for line in ran.stderr.splitlines() if line[:1].isdigit()]
    count = len(headings)
    assert headings[0] == f"1/{count} prepare"
    assert [line.split("/")[0] for line in headings] == [str(i + 1) for i in range(count)]
    assert "loss" in ran.stderr


def test_report_is_self_contained(ran: Ran) -> None:
    """The run's report is small, refers to nothing outside, and shows the measured accuracy."""
    summary = json.loads(ran.stdout)
    text = (ran.folder / summary["report"]).read_text(encoding="utf-8")
    assert len(text.encode()) < 2_000_000
    assert "://" not in text
    # What the target says about the source network's layers.
    assert "inspection" in text
    assert "conv1" in text
    for measured in summary["measured"]:
        assert f"{100 * measured['metrics']['top1']:.2f} %" in text


def test_second_run_reuses_and_says_why_not(ran: Ran) -> None:
    """Unchanged steps are reused; a changed key names itself where it has an effect."""
    # Other tests read the first run's report, in any order.
    shutil.copytree(ran.folder / "runs" / "r", ran.folder / "runs" / "again")
    again = _call(ran.folder, "run", "r.toml", *QUICK, "--set", "evaluate.samples=64",
                  "--folder", "runs/again")  # fmt: skip
    assert again.code == 0, again.stderr
    lines = again.stderr.splitlines()
    assert any(line.endswith("float: reused (nothing changed)") for line in lines)
    assert any("evaluate: run again because evaluate.samples 0 → 64" in line for line in lines)
    for text in ("float model", "integer graph", "change", "size of constants", "bit-exactness: ",
                 "report: "):  # fmt: skip
        assert text in again.stdout


def test_show_lists_the_steps(ran: Ran) -> None:
    """The steps of the run can be looked at afterwards."""
    shown = _call(ran.folder, "show", "runs/r", "--json")
    steps = [step["name"] for step in json.loads(shown.stdout)["steps"]]
    assert steps[:2] == ["prepare", "float"]


def test_stage_verb_ends_after_its_stage(ran: Ran) -> None:
    """``prepare`` runs just the first step, and ``quantize`` goes on from there."""
    words = ("r.toml", *QUICK, "--folder", "runs/steps")
    first = _call(ran.folder, "prepare", *words, "--json")
    assert first.code == 0, first.stderr
    assert [s["name"] for s in json.loads(first.stdout)["steps"]] == ["prepare"]
    assert json.loads(first.stdout)["report"] == ""
    second = _call(ran.folder, "quantize", *words)
    assert second.code == 0, second.stderr
    assert "prepare: reused" in second.stderr


def test_stage_that_the_plan_lacks_is_named(ran: Ran) -> None:
    """A verb without a step in the plan says so, and what would add one."""
    done = _call(ran.folder, "prune", "r.toml")
    assert done.code == 2
    assert "the plan has no prune step" in done.stderr
    assert "prune.sparsity" in done.stderr


@pytest.mark.parametrize("target", TARGETS)
def test_written_recipe_can_be_prepared(tmp_path: Path, target: str) -> None:
    """For every installed target, the recipe and network that init writes are accepted."""
    assert _call(tmp_path, "init", "--target", target, "r.toml").code == 0
    done = _call(tmp_path, "prepare", "r.toml")
    assert done.code == 0, done.stderr


def test_interrupted_run_says_how_to_go_on(ran: Ran) -> None:
    """Ctrl-C in a training: one paragraph, code 130, and the checkpoint stays."""
    words = [sys.executable, "-m", "nibblefit", "train", "r.toml", "--folder", "runs/stop",
             "--set", "train.epochs=500", "--set", "run.threads=1"]  # fmt: skip
    # A shell lets its background jobs, such as a suite started with &, ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(words, cwd=ran.folder, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    scratch = ran.folder / "runs" / "stop" / "scratch"
    while not any(scratch.rglob("*.ckpt")):
        assert process.poll() is None, "ended before a checkpoint was written"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "→" in said
    assert any(scratch.rglob("*.ckpt"))


def test_inspect_prints_support(ran: Ran) -> None:
    """A network that fits: a table, JSON, code 0."""
    words = ("inspect", "network.py:small_cnn", "--target", "generic", "--input-shape", "1,8,8")
    table = _call(ran.folder, *words)
    assert table.code == 0, table.stderr
    assert "conv" in table.stdout
    report = json.loads(_call(ran.folder, *words, "--json").stdout)
    assert report["findings"]
    assert {finding["status"] for finding in report["findings"]} == {"passed"}


def test_inspect_refuses_with_code_4(ran: Ran) -> None:
    """A network that does not fit: every layer with reason and remedy, code 4."""
    (ran.folder / "odd.py").write_text(
        "from torch import nn\n\n\ndef make():\n"
        "    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.GELU())\n",
        encoding="utf-8",
    )
    words = ("inspect", "odd.py:make", "--target", "generic", "--input-shape", "1,8,8")
    done = _call(ran.folder, *words)
    assert done.code == 4, done.stdout + done.stderr
    assert "→" in done.stderr
    assert "Traceback" not in done.stderr


def test_shape_is_asked_for(ran: Ran) -> None:
    """A torch network does not know its input shape; the option is named."""
    done = _call(ran.folder, "inspect", "network.py:small_cnn", "--target", "generic")
    assert done.code == 2
    assert "--input-shape" in done.stderr
