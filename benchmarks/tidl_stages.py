"""What each of the three training stages of the TIDL targets, and the integers, reached."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import nibblefit
from benchmarks.maxim_accuracy import LimitMissedError, percent
from benchmarks.section import Grid
from nibblefit.report.comparison import leading_metric

#: Evaluate step → the step that it measures, and what the row is called.
STAGES: Mapping[str, tuple[str, str]] = {
    "evaluate_initial": ("initial", "L2"),
    "evaluate_l1": ("l1", "L1"),
    "evaluate_sparse": ("sparse", "sparse"),
    "evaluate": ("quantize", "sparse + 8 bit"),
}
_COLUMNS = ("drop (points)", "zeros of weights", "mean of layers", "weighted by MACs", "time")
#: The figures of a report, in the order of the columns.
_FIGURES = ("sparsity_of_convolutions", "sparsity_layer_mean", "sparsity_by_macs")


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage of one run, or the mean of several.

    Attributes:
        metric: What judges the task, 0 to 1.
        by_weights, layer_mean, by_macs: Zeros of the convolutions in three meanings, 0 to 1.
        seconds: Time that the stage took, its evaluation included.
    """

    metric: float
    by_weights: float
    layer_mean: float
    by_macs: float
    seconds: float


def stage_rows(folder: Path | str, metric: str = "") -> dict[str, StageRow]:
    """Return what every stage of a run reached, by the names in `STAGES`, in their order.

    Args:
        folder: Of a finished run of `tidl` or `tidl-classic`. A stage that its plan left out has
            no row.
        metric: Metric that judges the task; empty takes the first one that is a share.

    Raises:
        WorkspaceError: No run folder.
    """
    run = nibblefit.open_run(folder)
    reports = {step: run.report(step) for step in STAGES if step in run.steps}
    name = metric or leading_metric(list(reports.values()))
    rows = {}
    for step, report in reports.items():
        measured, stage = STAGES[step]
        # A network without any zero reports none of the three.
        weights, layers, macs = (report.metrics.get(figure, 0.0) for figure in _FIGURES)
        seconds = sum(run.manifest(each).seconds for each in (measured, step))
        rows[stage] = StageRow(report.metrics[name], weights, layers, macs, seconds)
    return rows


def mean_rows(runs: Sequence[Mapping[str, StageRow]]) -> dict[str, StageRow]:
    """Return the mean of several runs of one recipe, stage by stage."""
    names = [field.name for field in fields(StageRow)]
    return {
        stage: StageRow(*(statistics.fmean(getattr(run[stage], n) for run in runs) for n in names))
        for stage in runs[0]
    }


def stage_grid(title: str, metric: str, rows: Mapping[str, StageRow], note: str = "") -> Grid:
    """Return the rows as a table; drops are measured from the first stage.

    Args:
        title: Heading of the table.
        metric: What the metric is called.
        rows: By stage.
        note: Stands below the table.
    """
    first, *_ = rows.values()
    cells = [
        [stage, percent(row.metric), f"{100 * (first.metric - row.metric):.2f}",
         percent(row.by_weights), percent(row.layer_mean), percent(row.by_macs),
         f"{row.seconds:.0f} s"]
        for stage, row in rows.items()
    ]  # fmt: skip
    return Grid(title, ("stage", metric, *_COLUMNS), cells, note)


def check_rows(
    name: str, rows: Mapping[str, StageRow], *, floor: float, drop: float, zeros: float
) -> None:
    """Refuse rows that miss what is required of them.

    Args:
        name: What was measured.
        rows: By stage.
        floor: Least metric of the first stage.
        drop: Largest loss of the last row against the first one.
        zeros: Least share of zero weights of the last row.

    Raises:
        LimitMissedError: One of them is missed.
    """
    first, *_, last = rows.values()
    if first.metric < floor:
        raise LimitMissedError(f"{name}: {percent(first.metric)} before sparsity, not {floor}")
    if first.metric - last.metric > drop:
        raise LimitMissedError(f"{name}: {percent(first.metric - last.metric)} lost, limit {drop}")
    if last.by_weights < zeros:
        raise LimitMissedError(f"{name}: {percent(last.by_weights)} zeros, not {zeros}")
