"""What a run came to, for the end of ``run`` and for ``show``."""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit.report import wording
from nibblefit.report.collect import file_rows, step_rows
from nibblefit.report.contents import FileRow, Measured, StepRow
from nibblefit.report.exactness import Exactness, exactness_of
from nibblefit.report.headlines import leading_metric
from nibblefit.report.page import shared_metrics
from nibblefit.report.sizes import float_bytes, stored_bytes
from nibblefit.results import Table
from nibblefit.workspace import OpenRun


@dataclass(frozen=True, slots=True)
class Summary:
    """Numbers of a run.

    Attributes:
        folder: Run folder.
        metric: Metric that stands for accuracy, empty if nothing was measured.
        measured: Metrics per evaluated subject, in the order of the run.
        drop: First minus last value of the metric; None with fewer than two.
        float_bytes, integer_bytes: Size of all constants; None where there is no such network.
        exactness: Whether all executions agree; None if they were not compared.
        report: Where the report is, or how to get it; empty if none was asked for.
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
    report: str = ""


def summary_of(run: OpenRun) -> Summary:
    """Return the summary of a run folder, finished or not."""
    kinds = {step: run.manifest(step).kind for step in run.steps}
    reports = {step: run.report(step) for step, kind in kinds.items() if kind == "report"}
    metric = leading_metric(list(reports.values()))
    values = [r.metrics[metric] for r in reports.values() if metric in r.metrics]
    has_model, has_graph = "model" in kinds.values(), "quantized" in kinds.values()
    return Summary(
        folder=str(run.path),
        steps=step_rows(run),
        metric=metric,
        measured=tuple(
            Measured(step, r.subject, dict(r.metrics)) for step, r in reports.items() if r.metrics
        ),
        drop=values[0] - values[-1] if len(values) > 1 else None,
        float_bytes=float_bytes(run.model().graph) if has_model else None,
        integer_bytes=stored_bytes(run.graph()) if has_graph else None,
        exactness=exactness_of(tuple(reports.values())),
        files=_files(run, [step for step, kind in kinds.items() if kind == "artifact"]),
    )


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
    """Return the metrics that can be compared, one row per subject, with the drop since the first.

    Those that only one of several subjects has, such as its size, are left to ``--json``.
    """
    names = shared_metrics(summary.measured)
    first = next((m.metrics[summary.metric] for m in summary.measured
                  if summary.metric in m.metrics), None)  # fmt: skip
    share = wording.is_fraction(summary.metric)
    rows = []
    for index, measured in enumerate(summary.measured):
        shown = [wording.metric(n, measured.metrics[n]) if n in measured.metrics else "–"
                 for n in names]  # fmt: skip
        own = measured.metrics.get(summary.metric)
        known = index > 0 and share and first is not None and own is not None
        fall = wording.drop(first - own) if known else "–"  # type: ignore[operator]
        rows.append((measured.subject, *shown, fall))
    return Table("Results on the test split", ("network", *names, "drop"), tuple(rows))


def file_table(summary: Summary) -> Table:
    """Return the written files."""
    rows = tuple((f.role, f"{summary.folder}/{f.path}", wording.size(f.size_bytes))
                 for f in summary.files)  # fmt: skip
    return Table("Files", ("role", "path", "size"), rows)


def closing_lines(summary: Summary) -> list[str]:
    """Return size, bit-exactness and the report's place as sentences."""
    lines = []
    if summary.integer_bytes:
        size = f"size of constants: {wording.size(summary.integer_bytes)}"
        if summary.float_bytes:
            ratio = summary.float_bytes / summary.integer_bytes
            size += f" (float32: {wording.size(summary.float_bytes)}, {ratio:.1f} times smaller)"
        lines.append(size)
    if summary.exactness is not None:
        lines += [f"bit-exactness: {message}" for message in summary.exactness.messages]
    if summary.report:
        lines.append(f"report: {summary.report}")
    return lines
