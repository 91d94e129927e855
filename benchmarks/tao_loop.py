"""Runs of TAO's loop at several remaining ratios that share one training, and their table."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import nibblefit
from benchmarks.maxim_accuracy import LimitMissedError, percent
from benchmarks.section import ROOT, Grid
from nibblefit.cli.reporter import TerminalReporter
from nibblefit.results import Report, Status

RECIPES = ROOT / "benchmarks" / "recipes"
RUNS = ROOT / "runs" / "results" / "tao"
#: Shares of the parameters that stay.
RATIOS = (0.22, 0.09)
#: A single run may lose so much: the limits hold for the means.
SLACK = 0.5
#: Network by the step that measured it, and the step that made it.
STEPS = {
    "evaluate_train": ("unpruned", "train"),
    "evaluate_prune": ("pruned", "prune"),
    "evaluate_retrain": ("retrained", "retrain"),
    "evaluate": ("retrained, INT8", "quantize"),
}


@dataclass(frozen=True, slots=True)
class LoopRow:
    """One network of the loop.

    Attributes:
        seconds: Of the step that made it and of its evaluation.
    """

    metric: float
    parameters: float
    weight_bytes: float
    macs: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Loop:
    """The networks of one seed.

    Attributes:
        rows: By (ratio, name of the network); the unpruned one has ratio 1.
        compared: Integers on which engine and judge agree, both ratios together.
        thresholds: That the ratios were solved for.
    """

    rows: Mapping[tuple[float, str], LoopRow]
    compared: int
    thresholds: Mapping[float, float]


def looped(recipe: str, data: Path, seed: int, metric: str) -> Loop:
    """Run a recipe of `RECIPES` once per ratio, on one thread; the training is reused."""
    rows: dict[tuple[float, str], LoopRow] = {}
    thresholds, compared, before = {}, 0, None
    for ratio in RATIOS:
        folder = RUNS / f"{Path(recipe).stem}_{seed}_{round(100 * ratio):02d}"
        if before is not None and not folder.exists():
            shutil.copytree(before, folder)
        settings = {"data.path": str(data), "run.seed": seed, "run.threads": 1,
                    "target.ratio": ratio, "evaluate.max_drop": SLACK}  # fmt: skip
        nibblefit.run_recipe(nibblefit.read_recipe(RECIPES / recipe, settings), folder,
                             reporter=TerminalReporter())  # fmt: skip
        run, before = nibblefit.open_run(folder), folder
        for step, (name, made) in STEPS.items():
            key = (1.0 if name == "unpruned" else ratio, name)
            rows.setdefault(key, _row(run, step, made, metric))
        thresholds[ratio] = run.model("prune").extra["pruning"]["threshold"]
        compared += _compared(run.report("evaluate"))
    return Loop(rows, compared, thresholds)


def _row(run: nibblefit.OpenRun, step: str, made: str, metric: str) -> LoopRow:
    found = run.report(step).metrics
    seconds = sum(run.manifest(name).seconds for name in (made, step))
    return LoopRow(found[metric], found["parameters"], found["weight_bytes"], found["macs"],
                   seconds)  # fmt: skip


def _compared(report: Report) -> int:
    found = next((f for f in report.findings if f.rule == "exact.engine"), None)
    if found is None or found.status is not Status.PASSED:
        raise LimitMissedError(f"{report.subject}: exact.engine did not pass")
    return int(found.value or 0)


def means(loops: Sequence[Loop]) -> dict[tuple[float, str], LoopRow]:
    """Return the mean of every figure over the seeds."""
    names = [field.name for field in fields(LoopRow)]
    return {
        key: LoopRow(*(statistics.fmean(getattr(loop.rows[key], n) for loop in loops)
                       for n in names))
        for key in loops[0].rows
    }  # fmt: skip


def loop_grid(mean: Mapping[tuple[float, str], LoopRow], label: str, note: str) -> Grid:
    """Return the table of all networks; the first row is the unpruned one."""
    whole = mean[1.0, "unpruned"]
    cells = [
        [
            "–" if ratio == 1.0 else f"{ratio:.2f}", name, percent(row.metric),
            f"{100 * (whole.metric - row.metric):.2f}", f"{row.parameters:,.0f}",
            f"{row.parameters / whole.parameters:.3f}", f"{row.weight_bytes / 1024:,.0f}",
            f"{row.macs / 1e6:,.1f}", f"{row.seconds:.0f} s",
        ]
        for (ratio, name), row in mean.items()
    ]  # fmt: skip
    columns = ("ratio asked for", "network", label, "drop (points)", "parameters", "of unpruned",
               "weights [KiB]", "MACs [M]", "time")  # fmt: skip
    return Grid("", columns, cells, note)


def seeds_grid(loops: Mapping[int, Loop], label: str) -> Grid:
    """Return the metric and the thresholds of each seed."""
    keys = list(next(iter(loops.values())).rows)
    titles = [name if ratio == 1.0 else f"{name} {ratio:.2f}" for ratio, name in keys]
    cells = [
        [seed, *(percent(loop.rows[key].metric) for key in keys),
         *(f"{loop.thresholds[ratio]:.3f}" for ratio in RATIOS),
         f"{sum(row.seconds for row in loop.rows.values()) / 60:.1f} min"]
        for seed, loop in loops.items()
    ]  # fmt: skip
    solved = [f"threshold {ratio:.2f}" for ratio in RATIOS]
    return Grid(f"Each seed: {label}", ("seed", *titles, *solved, "time"), cells)


def check(section: str, mean: Mapping[tuple[float, str], LoopRow], floor: float,
          drop: float) -> None:  # fmt: skip
    """Refuse means that miss a limit.

    Raises:
        LimitMissedError: The unpruned network is below the floor, a network is larger than its
            ratio, or the one retrained at the first ratio loses more than allowed.
    """
    whole, retrained = mean[1.0, "unpruned"], mean[RATIOS[0], "retrained"]
    if whole.metric < floor:
        raise LimitMissedError(f"{section}: unpruned {whole.metric:.4f}, expected {floor}")
    if whole.metric - retrained.metric > drop:
        raise LimitMissedError(
            f"{section}: retrained at {RATIOS[0]} loses {whole.metric - retrained.metric:.4f}, "
            f"expected at most {drop}"
        )
    for ratio in RATIOS:
        left = mean[ratio, "retrained"].parameters / whole.parameters
        if left > ratio:
            raise LimitMissedError(f"{section}: {left:.4f} of the parameters remain, not {ratio}")
