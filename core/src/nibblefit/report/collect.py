"""Read a run folder into the contents of a report page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nibblefit.charts import Chart, charts_of
from nibblefit.errors import NibblefitError, PluginError
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.plan import Stage
from nibblefit.recipe import Recipe
from nibblefit.report import plots, wording
from nibblefit.report.charts import merged
from nibblefit.report.comparison import compared, leading_metric
from nibblefit.report.contents import (
    INSPECTION,
    Bars,
    Contents,
    FileRow,
    Histogram,
    Image,
    MemoryPicture,
    Training,
)
from nibblefit.report.detections import detection_images
from nibblefit.report.environment import environment_of
from nibblefit.report.headlines import headlines
from nibblefit.report.history import left_over, step_rows
from nibblefit.report.memory import memory_pictures
from nibblefit.report.searches import search_tables
from nibblefit.report.sizes import activation_chart, network_sizes, size_chart
from nibblefit.report.variants import Variants
from nibblefit.report.zeros import zeros_chart
from nibblefit.results import Artifact, Finding, Report, Status, Table
from nibblefit.workspace import OpenRun
from nibblefit.workspace.values import Value


@dataclass(frozen=True, slots=True)
class Result:
    """A finished step and its value."""

    step: str
    stage: str
    value: Value


def contents_of(run: OpenRun) -> Contents:
    """Return everything a report shows about a run; unfinished steps are left out.

    Values are read one after another and only numbers are kept, so memory stays bounded by the
    largest step.
    """
    recipe = run.recipe
    parts = _Parts()
    variants = Variants(run)
    for step in variants.current():
        manifest = run.manifest(step)
        parts.add(Result(step, manifest.stage, run.value(step)), run.folder(step), run.path)
    parts.add_inspection(run, recipe)
    measured, final = compared(run, parts.reports), variants.final()
    return Contents(
        title=parts.name or "Network",
        target=recipe.target.name,
        part=recipe.target.part or parts.part,
        folder=run.path.name,
        headlines=headlines(measured, leading_metric(list(parts.reports.values())), parts.reports,
                            network_sizes(run, final)),
        measured=measured,
        searches=search_tables(run),
        trainings=tuple(parts.trainings),
        charts=merged(parts.charts, final),
        noise=tuple(parts.noise),
        zeros=tuple(parts.zeros),
        sizes=tuple(parts.sizes),
        histograms=tuple(parts.histograms[: plots.MOST_HISTOGRAMS]),
        confusions=tuple(parts.confusions()),
        memory=tuple(parts.memory),
        images=parts.drawings(recipe, final),
        findings=tuple(parts.findings),
        tables=tuple(parts.tables),
        steps=step_rows(run),
        left_over=left_over(run),
        files=tuple(parts.files),
        recipe=_recipe_text(run.path),
        provenance=tuple(_provenance(run, parts)),
    )  # fmt: skip


class _Parts:
    """Collects what each kind of value contributes, in the order of the run."""

    def __init__(self) -> None:
        self.name = self.part = ""
        self.reports: dict[str, Report] = {}
        self.histories: list[tuple[Mapping[str, float], ...]] = []
        self.trainings: list[Training] = []
        self.charts: list[tuple[str, Chart]] = []
        self.noise: list[Bars] = []
        self.zeros: list[Bars] = []
        self.sizes: list[Bars] = []
        self.histograms: list[Histogram] = []
        self.memory: list[MemoryPicture] = []
        self.findings: list[tuple[str, Finding]] = []
        self.tables: list[tuple[str, Table]] = []
        self.files: list[FileRow] = []
        self.digests: list[tuple[str, str]] = []
        self.classes: Sequence[str] = ()

    def add(self, result: Result, folder: Path, root: Path) -> None:
        """Take in one step's value."""
        self._add_charts(result.step, result.value)
        match result.value:
            case Model():
                self._add_model(result.step, result.stage, result.value)
            case QuantizedGraph():
                self._add_graph(result.step, result.value)
            case Artifact():
                self._add_artifact(result.step, result.value, folder.relative_to(root), root)
            case Report():
                self._add_report(result.step, result.value)

    def _add_charts(self, step: str, value: Value) -> None:
        try:
            self.charts += [(step, chart) for chart in charts_of(_extras(value))]
        except PluginError as error:
            # One broken chart must not cost the user the whole report.
            self.findings.append((step, Finding("report.charts", Status.WARNING, error.what,
                                                hint=error.hint)))  # fmt: skip

    def _add_model(self, step: str, stage: str, model: Model) -> None:
        self.name = self.name or model.graph.name
        own = self._own_epochs(model)
        if stage == Stage.TRAIN and own:
            self.trainings.append(Training(step, own, wording.kept_epoch(model.extra)))
        self.histories.append(model.history)
        known = [table for _, table in self.tables]
        # Later models carry the tables on; they stand where they came first.
        self.tables += [(step, table) for table in tables_of(model) if table not in known]

    def _own_epochs(self, model: Model) -> tuple[dict[str, float], ...]:
        """Return the epochs that this model's history adds to that of the model it came from."""
        history = model.history
        bases = [len(earlier) for earlier in self.histories if history[: len(earlier)] == earlier]
        inherited = max(bases, default=0)
        return tuple(dict(epoch) for epoch in model.history[inherited:])

    def _add_graph(self, step: str, graph: QuantizedGraph) -> None:
        self.name = graph.name or self.name
        self.classes = graph.metadata.get("class_names", self.classes)
        # The last graph is what the chip gets; earlier ones are steps on the way there.
        sized = size_chart(step, graph)
        self.sizes = [*([sized] if sized else []), activation_chart(step, graph)]
        self.histograms = list(plots.weight_histograms(graph))

    def _add_artifact(self, step: str, artifact: Artifact, folder: Path, root: Path) -> None:
        self.part = artifact.part or self.part
        self.digests.append((f"integer graph of {step}", artifact.graph_digest))
        self.files += file_rows(artifact, folder, root)
        try:
            self.memory += memory_pictures(artifact)
        except PluginError as error:
            # One broken picture must not cost the user the whole report.
            self.findings.append((step, Finding("report.memory", Status.WARNING, error.what,
                                                artifact.target, error.hint)))  # fmt: skip

    def _add_report(self, step: str, report: Report) -> None:
        self.reports[step] = report
        self.findings += [(step, finding) for finding in report.findings]
        self.histograms += plots.reported_histograms(report)
        zeros = zeros_chart(step, report)
        if zeros is not None:
            # The last network is what the chip gets; earlier ones are in the tables.
            self.zeros = [zeros]
        for table in report.tables:
            chart = plots.noise_chart(step, table)
            if chart is not None:
                self.noise.append(chart)
            self.tables.append((step, table))

    def add_inspection(self, run: OpenRun, recipe: Recipe) -> None:
        """Ask the target once more what it makes of the source network; first in the lists."""
        from nibblefit.runner import make_manager, make_setting

        try:
            manager = make_manager(recipe)
            setting = make_setting(recipe, manager)
            report = manager.inspect(run.source(), setting.part, recipe)
        except NibblefitError as error:
            # The plugin may be gone by now; what the run left behind can still be shown.
            report = Report("inspection", findings=(_not_possible(error),))
        self.findings[:0] = [(INSPECTION, finding) for finding in report.findings]
        self.tables[:0] = [(INSPECTION, table) for table in report.tables]

    def drawings(self, recipe: Recipe, final: Sequence[str]) -> tuple[Image, ...]:
        """Return test pictures with what the networks that count found in them."""
        from nibblefit.runner import make_manager

        reports = {step: report for step, report in self.reports.items() if step in final}
        try:
            return detection_images(recipe, reports, lambda: make_manager(recipe))
        except NibblefitError as error:
            # The data set may be gone by now; everything else can still be shown.
            self.findings.append((next(reversed(reports)),
                                  Finding("report.pictures", Status.WARNING, error.what,
                                          hint=error.hint)))  # fmt: skip
            return ()

    def confusions(self) -> Iterator[Any]:
        """Return the first and the last confusion matrix: float and integer network."""
        found = [
            plots.confusion(step, report, self.classes) for step, report in self.reports.items()
        ]
        drawn = [matrix for matrix in found if matrix is not None]
        yield from drawn if len(drawn) < 3 else (drawn[0], drawn[-1])


def _extras(value: Value) -> Mapping[str, Any]:
    """Return the mapping in which a stage leaves what else there is to show."""
    match value:
        case Model():
            return value.extra
        case QuantizedGraph():
            return value.metadata
        case Artifact():
            return value.notes
    return value.arrays


def tables_of(model: Model) -> Iterator[Table]:
    """Return the tables that a target left with a model; anything else there is passed over."""
    for entry in model.extra.get("tables", ()):
        if isinstance(entry, Mapping) and {"title", "columns", "rows"} <= set(entry):
            rows = tuple(tuple(row) for row in entry["rows"])
            yield Table(str(entry["title"]), tuple(map(str, entry["columns"])), rows)


def _not_possible(error: NibblefitError) -> Finding:
    return Finding("report.inspection", Status.WARNING, error.what, hint=error.hint)


def file_rows(artifact: Artifact, folder: Path, root: Path) -> Iterator[FileRow]:
    """Return an artifact's files; `folder` is where they lie, seen from the run folder `root`."""
    for file in artifact.files:
        path = folder / Path(file.path)
        size = (root / path).stat().st_size if (root / path).is_file() else None
        yield FileRow(file.role, path.as_posix(), size, file.sha256)


def _recipe_text(folder: Path) -> str:
    path = folder / "recipe.toml"
    return path.read_text("utf-8", errors="replace") if path.is_file() else ""


def _provenance(run: OpenRun, parts: _Parts) -> Iterator[tuple[str, str]]:
    from nibblefit.recipe_file import recipe_digest

    starts = [event for event in run.journal() if event["event"] == "run"]
    if starts:
        yield "nibblefit", str(starts[-1].get("nibblefit", ""))
        yield "plugin", str(starts[-1].get("target", ""))
        yield "first started", str(starts[0].get("time", ""))
    yield "last step finished", max(run.manifest(step).finished for step in run.steps)
    yield from environment_of(run)
    yield "seed", str(run.recipe.run.seed)
    yield "digest of the recipe", recipe_digest(run.recipe)
    yield from ((f"digest of the {name}", digest) for name, digest in parts.digests)
