"""What a run came to, for the end of ``run`` and for ``show``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nibblefit.plan import Stage
from nibblefit.report import wording
from nibblefit.report.collect import file_rows
from nibblefit.report.comparison import (
    compared,
    final_drop,
    leading_metric,
    pruned_share,
    results_table,
    share_before,
)
from nibblefit.report.contents import FileRow, Measured, StepRow, file_series
from nibblefit.report.exactness import Exactness, exactness_of
from nibblefit.report.history import left_over, step_rows
from nibblefit.report.searches import search_tables
from nibblefit.report.sizes import NetworkSizes, network_sizes
from nibblefit.report.variants import Variants
from nibblefit.results import Table
from nibblefit.workspace import OpenRun


@dataclass(frozen=True, slots=True)
class Summary:
    """Numbers of a run.

    Attributes:
        folder: Run folder.
        metric: Metric that stands for accuracy, empty if nothing was measured.
        measured: Metrics per evaluated subject, in the order of the run.
        drop: What the last network that counts lost of the metric, negative for a gain, compared
            as its row in `measured` says; None if it is compared with nothing.
        float_bytes, integer_bytes: As in `nibblefit.report.sizes.NetworkSizes`.
        exactness: Whether all executions agree; None if they were not compared.
        sparsity: Share of zeros among the weights of the last network that counts; None if none
            was pruned.
        left_over: Steps that only an earlier plan of this run had.
        report: Where the report is, or how to get it; empty if none was asked for.
        trainings: Which epoch each training ended with, and why.
        searches: Every search with all of its candidates.
    """

    folder: str
    steps: tuple[StepRow, ...]
    metric: str
    measured: tuple[Measured, ...]
    drop: float | None
    float_bytes: int | None
    integer_bytes: int | None
    exactness: Exactness | None
    files: tuple[FileRow, ...]
    sparsity: float | None = None
    left_over: tuple[str, ...] = ()
    report: str = ""
    trainings: tuple[str, ...] = ()
    searches: tuple[Table, ...] = ()


def summary_of(run: OpenRun) -> Summary:
    """Return the summary of a run folder, finished or not."""
    variants = Variants(run)
    kinds = {step: run.manifest(step).kind for step in variants.current()}
    reports = {step: run.report(step) for step, kind in kinds.items() if kind == "report"}
    measured = compared(run, reports)
    sizes = network_sizes(run, variants.final())
    return Summary(
        folder=str(run.path),
        steps=step_rows(run),
        metric=leading_metric(list(reports.values())),
        measured=measured,
        drop=final_drop(measured),
        float_bytes=sizes.float_bytes,
        integer_bytes=sizes.integer_bytes,
        exactness=exactness_of(tuple(reports.values())),
        files=_files(run, [step for step, kind in kinds.items() if kind == "artifact"]),
        sparsity=pruned_share(measured),
        left_over=left_over(run),
        trainings=tuple(_trainings(run, variants.current())),
        searches=search_tables(run),
    )


def _trainings(run: OpenRun, steps: Sequence[str]) -> Iterator[str]:
    for step in steps:
        if run.manifest(step).stage == Stage.TRAIN:
            kept = wording.kept_epoch(run.model(step).extra)
            if kept:
                yield f"{step}: {kept}"


def _files(run: OpenRun, steps: list[str]) -> tuple[FileRow, ...]:
    rows: list[FileRow] = []
    for step in steps:
        rows += file_rows(run.artifact(step), run.folder(step).relative_to(run.path), run.path)
    return tuple(rows)


def steps_table(summary: Summary) -> Table:
    """Return steps with status, time and reason."""
    rows = tuple(
        (step.name, step.stage, step.status, wording.duration(step.seconds), step.why)
        for step in summary.steps
    )
    return Table(f"Steps of {summary.folder}", ("step", "stage", "status", "time", "why"), rows)


def accuracy_table(summary: Summary) -> Table:
    """Return the metrics that can be compared, one row per evaluation.

    Those that only one of several has, such as its size, are left to ``--json``.
    """
    return results_table(summary.measured, summary.metric)


def file_table(summary: Summary) -> Table:
    """Return the written files; a long series of one role takes one row."""
    rows: list[tuple[str, str, str]] = []
    for series in file_series(summary.files):
        path, size = f"{summary.folder}/{series[0].path}", series[0].size_bytes
        if len(series) > 1:
            path += f" … {series[-1].path} ({len(series)} files)"
            size = sum(file.size_bytes or 0 for file in series)
        rows.append((series[0].role, path, wording.size(size)))
    return Table("Files", ("role", "path", "size"), tuple(rows))


def left_over_line(summary: Summary) -> str:
    """Return which steps an earlier plan left in the run folder; empty if none did."""
    return f"left from an earlier plan: {', '.join(summary.left_over)}" * bool(summary.left_over)


def closing_lines(summary: Summary) -> list[str]:
    """Return kept epochs, size, bit-exactness and the report's place as sentences."""
    lines = list(summary.trainings)
    if summary.integer_bytes:
        compared = NetworkSizes(summary.float_bytes, summary.integer_bytes).comparison
        size = f"size of constants: {wording.size(summary.integer_bytes)}"
        lines.append(f"{size} ({compared})" if compared else size)
    if summary.sparsity is not None:
        share, before = f"{100 * summary.sparsity:.2f} %", share_before(summary.measured)
        line = f"pruned: {share} of the weights are zero"
        if before is not None:
            line += f", {100 * before:.2f} % before quantization"
        lines.append(line)
    if summary.exactness is not None:
        lines += [f"bit-exactness: {message}" for message in summary.exactness.messages]
    if summary.report:
        lines.append(f"report: {summary.report}")
    return lines
