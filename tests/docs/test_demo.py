"""The demo keeps what README promises; slow, because it trains for real."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

import nibblefit
from nibblefit.engine import Engine
from nibblefit.ir.store import digest
from nibblefit.results import Status

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("nibblefit_maxim") is None, reason="needs nibblefit-maxim"),
]

ROOT = Path(__file__).resolve().parents[2]
#: The command of `make demo`; the Makefile is checked to say the same.
RECIPE = "examples/digits_maxim.toml"
SECONDS = 6 * 60
PEAK_BYTES = 2 << 30


@dataclass(frozen=True)
class Demo:
    """One run of the demo: what it printed, where its results are, what it took."""

    said: str
    progress: str
    folder: Path
    seconds: float
    peak_bytes: int


def _demo(place: Path) -> Demo:
    (place / "examples").symlink_to(ROOT / "examples")
    said, progress = place / "stdout.txt", place / "stderr.txt"
    began = time.monotonic()
    with said.open("wb") as out, progress.open("wb") as err:
        child = subprocess.Popen(
            [Path(sys.executable).parent / "nibblefit", "run", RECIPE, "--folder", "runs/demo"],
            cwd=place, env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}, stdout=out,
            stderr=err,
        )  # fmt: skip
        # Other tests' children must not count, so this one's own peak is asked for.
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    took = time.monotonic() - began
    texts = [path.read_text(encoding="utf-8") for path in (said, progress)]
    assert child.returncode == 0, texts[0][-2000:] + texts[1][-2000:]
    return Demo(*texts, place / "runs" / "demo", took, usage.ru_maxrss * 1024)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Return a first run of the demo."""
    return _demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Return a second run in another folder."""
    return _demo(tmp_path_factory.mktemp("again"))


def test_make_demo_runs_this_recipe() -> None:
    """`make demo` is the command that is tested here."""
    rule = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ndemo:")[2]
    assert f"nibblefit run {RECIPE} --folder runs/demo" in rule.partition("\n\n")[0]


def test_demo_ends_in_time_and_memory(demo: Demo) -> None:
    """It takes less than six minutes and 2 GiB."""
    assert demo.seconds < SECONDS
    assert demo.peak_bytes < PEAK_BYTES


def test_demo_shows_each_step(demo: Demo) -> None:
    """Every step of the plan is announced, with its progress, in order."""
    steps = nibblefit.open_run(demo.folder).steps
    shown = re.findall(r"^(\d+)/\d+ (\w+)", demo.progress, re.MULTILINE)
    assert tuple(name for _, name in shown) == steps
    assert [int(number) for number, _ in shown] == list(range(1, len(steps) + 1))
    assert "training float" in demo.progress
    assert "training qat" in demo.progress


def test_demo_ends_with_table_files_and_report(demo: Demo) -> None:
    """The table has three accuracies with the drop, the files exist, and the report is named."""
    rows = dict(re.findall(r"^ +(float model|qat model|integer graph) +(.*)$", demo.said, re.M))
    assert list(rows) == ["float model", "qat model", "integer graph"]
    assert all(re.match(r"\d+\.\d+ %", row) for row in rows.values())
    assert all("points" in rows[name] for name in ("qat model", "integer graph"))
    files = dict(re.findall(r"^ +(\w+) +(runs/demo/stages/\S+) ", demo.said, re.MULTILINE))
    assert set(files) == {"yaml", "checkpoint", "sample", "readme"}
    place = demo.folder.parents[1]
    assert all((place / path).is_file() for path in files.values())
    assert "size of constants" in demo.said
    assert "report: runs/demo/report.html" in demo.said
    page = (demo.folder / "report.html").read_text(encoding="utf-8")
    assert "</html>" in page
    assert len(page.encode()) < 2_000_000


def test_readme_shows_what_is_printed(demo: Demo) -> None:
    """README's picture of the output differs from the real one in digits and spaces alone."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.partition("```text\nResults on the test split")[2].partition("```")[0]
    assert block

    def shape(text: str) -> list[str]:
        lines = (re.sub(r"-?\d[\d,.]*", "#", line) for line in text.splitlines())
        kept = (re.sub(r"[\s─]+", " ", line).strip() for line in lines)
        return [line for line in kept if line]

    assert shape(block) == shape(demo.said.partition("Results on the test split")[2])


def test_demo_is_accurate(demo: Demo) -> None:
    """Integers reach 97 % on the test digits and lose at most one point to the float network."""
    run = nibblefit.open_run(demo.folder)
    floats, integers = (run.report(step).metrics["top1"] for step in ("evaluate_float", "evaluate"))
    assert integers >= 0.97
    assert floats - integers <= 0.01


def test_demo_is_exact(demo: Demo) -> None:
    """Judge, engine and training's simulation agreed on every test sample."""
    findings = {f.rule: f for f in nibblefit.open_run(demo.folder).report("evaluate").findings}
    for rule in ("exact.engine", "exact.simulation"):
        assert findings[rule].status is Status.PASSED
        assert findings[rule].value
        assert findings[rule].value > 1_000_000


def test_second_run_gives_the_same_files(demo: Demo, again: Demo) -> None:
    """YAML and checkpoint have the same bytes and tensors."""
    first, second = (nibblefit.open_run(d.folder) for d in (demo, again))
    paths = {f.role: (first.folder("compile") / f.path, second.folder("compile") / f.path)
             for f in first.artifact().files}  # fmt: skip
    one, other = paths["yaml"]
    assert one.read_bytes() == other.read_bytes()
    one, other = paths["checkpoint"]
    ours, theirs = (torch.load(p, weights_only=True)["state_dict"] for p in (one, other))
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_second_run_gives_the_same_integers(demo: Demo, again: Demo) -> None:
    """The graphs, the confusion of the test set, and the codes of every tensor are equal."""
    first, second = (nibblefit.open_run(d.folder) for d in (demo, again))
    assert digest(first.graph("quantize")) == digest(second.graph("quantize"))
    reports = [run.report("evaluate") for run in (first, second)]
    assert reports[0].metrics == reports[1].metrics
    assert reports[0].arrays["confusion"] == reports[1].arrays["confusion"]
    graph = first.graph("quantize")
    tensor = graph.tensors[graph.inputs[0]]
    lo, hi = tensor.format.lo, tensor.format.hi
    codes = np.random.default_rng(3).integers(lo, hi, (64, *tensor.shape), endpoint=True)
    results = [
        Engine(run.graph("quantize")).run({tensor.name: codes}, keep="all").tensors
        for run in (first, second)
    ]
    assert results[0].keys() == results[1].keys()
    assert all(np.array_equal(results[0][name], results[1][name]) for name in results[0])
