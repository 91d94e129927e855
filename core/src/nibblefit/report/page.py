"""Lay out a report's contents as one HTML document that needs no other file."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Any

import nibblefit
from nibblefit.errors import MissingExtraError
from nibblefit.report import figures, wording
from nibblefit.report.chart_figures import chart_figure, legend
from nibblefit.report.charts import by_topic
from nibblefit.report.comparison import results_table, shared_metrics
from nibblefit.report.contents import (
    INSPECTION,
    Banks,
    Confusion,
    Contents,
    Grid,
    Histogram,
    MemoryPicture,
    Training,
    file_series,
)
from nibblefit.report.zeros import zeros_table
from nibblefit.results import Finding, Status

#: Matrices with more classes are shown as a list of the most frequent mistakes.
MOST_CLASSES_IN_A_MATRIX = 20
MOST_MISTAKES = 15
#: Curves drawn together: their names share a last word, such as train_loss and val_loss.
CURVES = ("loss", "top1", "accuracy", "map", "map50", "iou", "miou", "psnr", "sparsity")
_TONES = {"passed": "good", "failed": "bad", "warning": "warn"}


def page(contents: Contents) -> str:
    """Return the report as HTML."""
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtraError("the report", "report") from error
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined,
                                     trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    environment.filters |= {
        "cell": wording.cell, "bytes": wording.size, "duration": wording.duration,
        "all_numbers": _all_numbers, "base64": _base64,
    }  # fmt: skip
    here = files("nibblefit.report")
    template = environment.from_string(here.joinpath("page.html.j2").read_text("utf-8"))
    return template.render(
        page=contents,
        sections=_sections(contents),
        accuracy=results_table(contents.measured, _leading(contents)),
        zeros=zeros_table(contents.measured),
        curves=[curve for training in contents.trainings for curve in _curves(training)],
        topics=[
            (_anchor(topic), topic, [(one.chart, legend(one), chart_figure(one)) for one in group])
            for topic, group in by_topic(contents.charts)
        ],
        noted=[found for found in contents.findings if not _is_accepted(*found)],
        accepted=[found for found in contents.findings if _is_accepted(*found)],
        files=file_series(contents.files),
        pictures=[_picture(picture) for picture in contents.memory],
        confusions=[_confusion(confusion) for confusion in contents.confusions],
        histograms=[_histogram(histogram) for histogram in contents.histograms],
        tones=_TONES | {"skipped": "muted", "not_applicable": "muted"},
        style=here.joinpath("style.css").read_text("utf-8"),
        version=nibblefit.__version__,
    )


def _is_accepted(step: str, finding: Finding) -> bool:
    """Return whether a finding only says that a layer of the source network is as it should be."""
    return step == INSPECTION and finding.status is Status.PASSED


def _all_numbers(items: Iterable[Any]) -> bool:
    """Return whether a column holds numbers only, apart from empty cells."""
    filled = [item for item in items if item is not None and item != ""]
    return bool(filled) and all(
        isinstance(item, (int, float)) and not isinstance(item, bool) for item in filled
    )


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _sections(contents: Contents) -> list[tuple[str, str]]:
    topics = [(_anchor(topic), topic, group) for topic, group in by_topic(contents.charts)]
    headings = (
        ("accuracy", "Accuracy", contents.measured), ("training", "Training", contents.trainings),
        *topics,
        ("zeros", "Sparsity", zeros_table(contents.measured) or contents.zeros),
        ("noise", "Signal to noise", contents.noise), ("size", "Size", contents.sizes),
        ("memory", "Memory", contents.memory), ("pictures", "Pictures", contents.images),
        ("confusion", "Confusion", contents.confusions),
        ("histograms", "Histograms", contents.histograms),
        ("findings", "Findings", contents.findings), ("tables", "Tables", contents.tables),
        ("steps", "Steps", contents.steps), ("files", "Files", contents.files),
        ("recipe", "Recipe", contents.recipe), ("provenance", "Provenance", contents.provenance),
    )  # fmt: skip
    return [(anchor, heading) for anchor, heading, content in headings if content]


def _anchor(topic: str) -> str:
    return "charts-" + "".join(c if c.isalnum() else "-" for c in topic.lower())


def _leading(contents: Contents) -> str:
    names = shared_metrics(contents.measured)
    return next((name for name in names if wording.is_fraction(name)), "")


def _curves(training: Training) -> Iterator[tuple[str, str, str]]:
    names = dict.fromkeys(name for epoch in training.epochs for name in epoch)
    for kind in CURVES:
        drawn = [name for name in names if name == kind or name.endswith((f"_{kind}", f"/{kind}"))]
        if drawn:
            heading = f"{training.step}: {kind}"
            drawing = figures.training_figure(training, drawn[:4], heading)
            yield heading, training.note, drawing


def _picture(picture: MemoryPicture) -> tuple[str, str, str]:
    if isinstance(picture, Banks):
        used, room = sum(picture.used), sum(picture.capacity)
        share = 100 * used / room if room else 0.0
        note = f"{used:,} of {room:,} {picture.unit} in use ({share:.1f} %)"
    elif isinstance(picture, Grid):
        note = _fullest(picture)
    else:
        top = max((span.stop for span in picture.spans), default=0)
        note = f"highest address in use {top:,} of {picture.capacity:,} {picture.unit}"
    return picture.title, note, figures.memory_figure(picture)


def _fullest(grid: Grid) -> str:
    """Return which memory is fullest, and when."""
    cells = ((used, bank, layer) for layer, row in zip(grid.layers, grid.used, strict=True)
             for bank, used in enumerate(row))  # fmt: skip
    used, bank, layer = max(cells, key=lambda cell: cell[0], default=(0, 0, ""))
    return (
        f"the darker, the fuller; {grid.bank} {bank} holds most, {used:,} of {grid.capacity:,} "
        f"{grid.unit}, while '{layer}' runs"
    )


def _confusion(confusion: Confusion) -> dict[str, Any]:
    rows: list[tuple[str, list[dict[str, Any]]]] = []
    mistakes: list[tuple[str, str, int, str]] = []
    for actual, (name, counts) in enumerate(zip(confusion.classes, confusion.counts, strict=True)):
        total = sum(counts) or 1
        row = []
        for predicted, count in enumerate(counts):
            wrong = predicted != actual
            # A lone mistake among hundreds must still be seen: wrong cells start at 15 %.
            share = min(1.0, 0.15 + 2 * count / total) if wrong and count else count / total
            row.append({"count": count, "share": share, "wrong": wrong and count > 0})
            if wrong and count:
                mistakes.append((name, confusion.classes[predicted], count,
                                 f"{100 * count / total:.1f} %"))  # fmt: skip
        rows.append((name, row))
    mistakes.sort(key=lambda mistake: -mistake[2])
    small = len(confusion.classes) <= MOST_CLASSES_IN_A_MATRIX
    return {"subject": confusion.subject, "classes": confusion.classes,
            "rows": rows if small else [], "mistakes": mistakes[:MOST_MISTAKES]}  # fmt: skip


def _histogram(histogram: Histogram) -> dict[str, Any]:
    return {"name": histogram.name, "caption": histogram.caption,
            "path": figures.histogram_path(histogram.counts),
            "first": histogram.edges[0], "last": histogram.edges[-1]}  # fmt: skip
