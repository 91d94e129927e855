"""Accuracy on the MAX78000: three kinds of network, each in float, 8 bit, 4 bit and mixed widths.

The networks and their trainings are the recipes in examples/mnist and examples/fashion. The float
training of a recipe is done once; the runs with other widths take it up from the run folder.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibblefit
from benchmarks.section import ROOT, Grid, Section
from nibblefit.cli.reporter import TerminalReporter
from nibblefit.quantization.size import layer_sizes
from nibblefit.results import Report, Status

EXAMPLES = ROOT / "examples"
RUNS = ROOT / "runs" / "results" / "maxim"
#: Recipe → what it is.
NETWORKS = {"onnx": "from ONNX", "residual": "residual", "conv1d": "Conv1d, rows"}
#: Few bits may cost more than the recipes' limit, which holds for 8 bits.
_NO_LIMIT = {"evaluate.max_drop": 1.0}
#: Options of the search by data set. The small set allows an epoch of training per candidate, and
#: a point of accuracy is three of its validation samples.
SEARCHES: Mapping[str, Mapping[str, Any]] = {
    "mnist": {"bits": [8, 4, 2], "max_drop": 0.01},
    "fashion": {"bits": [8, 4, 2], "max_drop": 0.02, "epochs": 1},
}
#: Widths of the weights; examples/README.md shows how to set them by hand.
WIDTHS = ("8 bit", "4 bit", "mixed")
#: Steps that are the same for all widths.
_SHARED = frozenset({"prepare", "float", "evaluate_float"})
#: What 8-bit weights may cost, as a share of the test samples, on the mean of the seeds.
LIMIT = 0.01


class LimitMissedError(SystemExit):
    """A figure misses what is required of it."""


@dataclass(frozen=True)
class Result:
    """One run: a recipe with one choice of widths and one seed.

    Attributes:
        floating, trained, integer: Top-1 on the test split of the float network, of the network
            trained with quantization, and of the integers.
        weight_bytes: Weights and biases at their widths.
        bits: Weight widths that a search found, in the order of the layers; empty without one.
        compared: Integers compared with the judge, and none differed.
        candidates: Choices of widths that the search measured; 0 without one.
        seconds: Time that its steps took; the float training counts for 8 bits only.
    """

    floating: float
    trained: float
    integer: float
    weight_bytes: int
    bits: tuple[int, ...]
    compared: int
    candidates: int
    seconds: float


def measure(name: str, title: str, data: Path, seeds: Sequence[int]) -> Section:
    """Run the recipes of one data set.

    Args:
        name: Folder of the recipes below examples.
        title: Title of the section.
        data: Folder of the data set.
        seeds: Each is a run of its own; figures are means.

    Raises:
        LimitMissedError: 8-bit weights cost more than `LIMIT`.
        NibblefitError: A run missed one of its recipe's limits, such as the floor.
    """
    write_onnx()
    found = {
        (network, width): [result(name, network, width, data, seed) for seed in seeds]
        for network in NETWORKS
        for width in WIDTHS
    }
    section = Section(
        f"maxim_{name}", title, "make results",
        [_accuracy(found, seeds, name), _searches(found, name)],
    )  # fmt: skip
    section.save()
    for (network, width), results in found.items():
        drop = _mean(results, "floating") - _mean(results, "integer")
        if width == "8 bit" and drop > LIMIT:
            raise LimitMissedError(f"{name}/{network}: 8 bits cost {100 * drop:.2f} points")
    return section


def settings_of(name: str, width: str) -> Mapping[str, Any]:
    """Return what a choice of widths sets on top of a recipe."""
    match width:
        case "4 bit":
            return {"target.weight_bits": 4, **_NO_LIMIT}
        case "mixed":
            return {"target.search": SEARCHES[name], **_NO_LIMIT}
    return {}


def write_onnx() -> None:
    """Write the ONNX file that a recipe starts from, untrained."""
    script = EXAMPLES / "mnist" / "write_onnx.py"
    subprocess.run(
        [sys.executable, "-W", "ignore", script, "runs/small_cnn.onnx"], cwd=ROOT, check=True
    )


def result(name: str, network: str, width: str, data: Path, seed: int) -> Result:
    """Carry out one run."""
    folder = RUNS / f"{name}_{network}_{seed}"
    settings = {"data.path": str(data), "run.seed": seed, **settings_of(name, width)}
    recipe = nibblefit.read_recipe(EXAMPLES / name / f"{network}.toml", settings)
    outcome = nibblefit.run_recipe(recipe, folder, reporter=TerminalReporter())
    opened = nibblefit.open_run(folder)
    sizes = layer_sizes(opened.graph("quantize"))
    report = opened.report("evaluate")
    search = _search(opened)
    return Result(
        floating=opened.report("evaluate_float").metrics["top1"],
        trained=opened.report("evaluate_qat").metrics["top1"],
        integer=report.metrics["top1"],
        weight_bytes=sum(size.weight_bytes for size in sizes),
        bits=tuple(search["widths"].values()),
        compared=compared(report),
        candidates=len(search["candidates"]),
        seconds=sum(
            step.seconds for step in outcome.steps if width == "8 bit" or step.name not in _SHARED
        ),
    )


def _search(run: nibblefit.OpenRun) -> dict[str, Any]:
    """Return the record of a run's search, an empty one if it had none."""
    if "search" not in run.steps:
        return {"widths": {}, "candidates": []}
    record: dict[str, Any] = json.loads((run.folder("search") / "candidates.json").read_text())
    return record


def compared(report: Report) -> int:
    """Return the number of integers on which engine, training and judge agree.

    Raises:
        LimitMissedError: A comparison is missing or did not pass.
    """
    exact = {f.rule: f for f in report.findings if f.rule.startswith("exact.")}
    for rule in ("exact.engine", "exact.simulation"):
        if rule not in exact or exact[rule].status is not Status.PASSED:
            raise LimitMissedError(f"{report.subject}: {rule} did not pass")
    return sum(int(finding.value or 0) for finding in exact.values())


def _accuracy(
    found: Mapping[tuple[str, str], Sequence[Result]], seeds: Sequence[int], name: str
) -> Grid:
    rows = []
    for (network, width), results in found.items():
        floating, integer = _mean(results, "floating"), _mean(results, "integer")
        rows.append([
            NETWORKS[network], width, percent(floating), percent(_mean(results, "trained")),
            percent(integer), f"{100 * (floating - integer):.2f}",
            f"{_mean(results, 'weight_bytes'):,.0f}", f"{_mean(results, 'seconds'):.0f} s",
        ])  # fmt: skip
    total = sum(result.compared for results in found.values() for result in results)
    seeded = f", means of {len(seeds)} seeds" if len(seeds) > 1 else ""
    note = (
        f"Recipes of `examples/{name}`; top-1 on the test split{seeded}. Weight bytes: weights and "
        "biases at their widths. Time: one run; 4 bit and mixed take up the float training "
        f"of the 8-bit run. Training simulation and engine agreed with the judge on all {total:,} "
        "integers compared: every one of every layer, of as many test images as "
        "`evaluate.judge_samples` says. A single difference, or a float network below the recipe's "
        "`evaluate.floor`, fails the run."
    )
    columns = ("network", "weights", "float", "QAT", "integer", "drop (points)", "weight bytes",
               "time")  # fmt: skip
    return Grid("", columns, rows, note)


def _searches(found: Mapping[tuple[str, str], Sequence[Result]], name: str) -> Grid:
    rows = [
        [NETWORKS[network], number, "-".join(map(str, one.bits)), one.candidates,
         percent(one.integer), f"{one.weight_bytes:,}"]
        for (network, width), results in found.items()
        if width == "mixed"
        for number, one in enumerate(results, 1)
    ]  # fmt: skip
    asked = ", ".join(f"{key} = {value}" for key, value in SEARCHES[name].items())
    note = (
        f"Widths found by `search = {{ {asked} }}` on the validation split, before QAT; each "
        "candidate is in `candidates.json` of the run."
    )
    columns = ("network", "seed", "bits per layer", "candidates", "integer", "weight bytes")
    return Grid("Mixed widths", columns, rows, note)


def _mean(results: Sequence[Result], field: str) -> float:
    return statistics.fmean(getattr(result, field) for result in results)


def percent(value: float) -> str:
    """Return a share as percent with two decimals."""
    return f"{100 * value:.2f} %"
