"""Turn reports and graphs into the page's charts: noise, histograms, confusion matrices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nibblefit.fixed.formats import IntArray
from nibblefit.ir.ops import WEIGHTED
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.report.contents import Bar, Bars, Confusion, Histogram, Tone
from nibblefit.results import Report, Table

#: Below this ratio a layer's integers carry under four bits of the float layer's signal (6.02 dB
#: per bit), which is where classification networks begin to lose accuracy.
LOW_NOISE_RATIO_DB = 24.0
#: Bars are drawn on a scale that ends here: more decibels are not visible in any result.
FULL_SCALE_DB = 60.0
_NOISE_WORDS = ("sqnr", "signal", "snr")
MOST_HISTOGRAMS = 48
_BINS = 33


def noise_column(table: Table) -> int | None:
    """Return the column that holds a signal-to-noise ratio in dB, None if there is none."""
    for index, name in enumerate(table.columns):
        if any(word in name.lower() for word in _NOISE_WORDS):
            return index
    return None


def noise_chart(step: str, table: Table) -> Bars | None:
    """Return a per-layer signal-to-noise table as bars; the first column names the layer."""
    column = noise_column(table)
    if column is None or not table.rows:
        return None
    return Bars(f"{table.title} ({step})",
                tuple(_noise_bar(str(row[0]), row[column]) for row in table.rows))  # fmt: skip


def _noise_bar(layer: str, value: Any) -> Bar:
    if not isinstance(value, (int, float)) or not np.isfinite(value):
        return Bar(layer, 1.0, "exact")
    tone = Tone.BAD if value < LOW_NOISE_RATIO_DB else Tone.PLAIN
    return Bar(layer, min(1.0, max(0.0, value / FULL_SCALE_DB)), f"{value:.1f} dB", tone=tone)


def reported_histograms(report: Report) -> Iterator[Histogram]:
    """Return the histograms that an evaluation recorded."""
    for name, drawn in report.arrays.items():
        kind, _, tensor = name.partition(":")
        if kind != "histogram" or not isinstance(drawn, Mapping):
            continue
        edges, counts = drawn.get("edges", ()), drawn.get("counts", ())
        if len(counts) > 0 and len(edges) == len(counts) + 1:
            yield Histogram(tensor, tuple(map(float, edges)), tuple(map(int, counts)),
                            f"{sum(map(int, counts)):,} values")  # fmt: skip


def weight_histograms(graph: QuantizedGraph) -> Iterator[Histogram]:
    """Return one histogram per weight constant, over its integer codes."""
    for node in graph.nodes:
        if node.op not in WEIGHTED or node.inputs[1] not in graph.constants:
            continue
        name = node.inputs[1]
        codes, form = graph.constants[name], graph.tensors[name].format
        bins = min(_BINS, form.hi - form.lo + 1)
        counts, edges = np.histogram(codes, bins=bins, range=(form.lo, form.hi + 1))
        zero = 100 * float(np.mean(codes == _zero_codes(graph, name))) if codes.size else 0.0
        yield Histogram(
            name,
            (*map(float, edges[:-1]), float(form.hi)),
            tuple(map(int, counts)),
            f"{form.name}, {zero:.0f} % zero",
        )


def _zero_codes(graph: QuantizedGraph, name: str) -> IntArray:
    """Return the codes that stand for zero, shaped to be compared with a constant's codes."""
    form, axes = graph.tensors[name].format, graph.constants[name].ndim
    points = np.array(form.zero_point, np.int64)
    if form.axis is None:
        return points
    return points.reshape([-1 if axis == form.axis else 1 for axis in range(axes)])


def confusion(step: str, report: Report, classes: Sequence[str]) -> Confusion | None:
    """Return a report's confusion matrix, None if it has none."""
    counts = report.arrays.get("confusion")
    if counts is None or len(counts) == 0:
        return None
    square = tuple(tuple(int(count) for count in row) for row in counts)
    known = report.arrays.get("classes", classes)
    named = tuple(str(name) for name in known)
    if len(named) != len(square):
        named = tuple(str(index) for index in range(len(square)))
    return Confusion(f"{report.subject} ({step})", named, square)
