"""Drawings of curves and of histograms below each other, for the page and as PNG files."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nibblefit.charts import Chart, Curves, Distributions, Line, Row
from nibblefit.errors import MissingExtraError
from nibblefit.report.charts import Drawn, StepMark, mark_label
from nibblefit.report.figures import PALETTE, dress, new_figure, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Histograms that one chart shows; of more, those with the most values.
MOST_ROWS = 64
#: Inches: a row of histograms, the least height of several, curves, what stands around both.
_ROW, _LEAST, _CURVES, _AROUND = 0.3, 2.0, 2.7, 0.6
_LONGEST = 30
#: The page's colours in daylight (style.css), for files that have no page around them.
_DAYLIGHT = {"ink": "#17202b", "muted": "#56616f", "grid": "#dde3ea", "paper": "#ffffff",
             "series-1": "#0b63a5", "series-2": "#c2570c", "series-3": "#0a7a5c",
             "series-4": "#8a4a9c", "bad": "#b3261e"}  # fmt: skip
_LINES = ("series-1", "series-3", "series-4", "muted")
#: Lengths of lines and gaps, in line widths; none for a line without gaps.
_DASHES: tuple[tuple[float, ...], ...] = ((), (4, 1.5), (1, 1.5), (4, 1.5, 1, 1.5))
_CHOSEN, _OTHER = "series-2", "muted"


@dataclass(frozen=True, slots=True)
class Stroke:
    """How a line is drawn: name of a colour, dashes, width and its name."""

    color: str
    dashes: tuple[float, ...]
    width: float
    label: str


def chart_figure(drawn: Drawn) -> str:
    """Return a chart as SVG in the page's colours."""
    figure, axes = new_figure(_height(drawn.chart))
    _draw(axes, drawn, PALETTE)
    return svg_of(figure, drawn.chart.title)


def legend(drawn: Drawn) -> list[Stroke]:
    """Return what stands in a chart's legend: curves, then marks with a name."""
    lines = drawn.chart.lines if isinstance(drawn.chart, Curves) else ()
    strokes = [*_line_strokes(lines), *_mark_strokes(drawn.marks)]
    return [stroke for stroke in strokes if stroke.label]


def charts_png(charts: Sequence[Chart]) -> bytes:
    """Return charts below each other as one PNG file.

    Raises:
        MissingExtraError: The extra ``report`` is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("drawing charts", "report") from error
    drawn = [Drawn(chart, "", tuple(StepMark(m, "") for m in chart.marks)) for chart in charts]
    heights = [_height(one.chart) + 0.4 for one in drawn]
    figure = Figure(figsize=(9.0, sum(heights)), dpi=110, layout="constrained")
    places = figure.subplots(len(drawn), 1, height_ratios=heights, squeeze=False).ravel().tolist()
    for axes, one in zip(places, drawn, strict=True):
        dress(axes, _DAYLIGHT)
        _draw(axes, one, _DAYLIGHT)
        axes.set_title(one.chart.title, loc="left", fontsize=11, color=_DAYLIGHT["ink"])
        if isinstance(one.chart, Curves) or len(drawn) == 1:
            # Marks are the same in the charts of one picture: one legend will do.
            axes.legend(frameon=False, labelcolor=_DAYLIGHT["ink"], fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _height(chart: Chart) -> float:
    if isinstance(chart, Curves):
        return _CURVES + _AROUND
    return max(_LEAST, _ROW * min(len(chart.rows), MOST_ROWS)) + _AROUND


def _draw(axes: Axes, drawn: Drawn, palette: Mapping[str, str]) -> None:
    chart = drawn.chart
    if isinstance(chart, Curves):
        _draw_curves(axes, chart, palette)
    else:
        _draw_rows(axes, chart, palette)
    _draw_marks(axes, drawn.marks, palette)
    if chart.span is not None:
        axes.set_xlim(*chart.span)
    axes.set_xlabel(chart.x_label)


def _draw_curves(axes: Axes, chart: Curves, palette: Mapping[str, str]) -> None:
    for stroke, line in zip(_line_strokes(chart.lines), chart.lines, strict=True):
        axes.plot(chart.x, line.values, **_style(stroke, palette),
                  drawstyle="steps-post" if chart.stepped else "default")  # fmt: skip
    if all(min(line.values) >= 0 for line in chart.lines):
        axes.set_ylim(bottom=0)
    axes.set_ylabel(chart.y_label)


def _draw_rows(axes: Axes, chart: Distributions, palette: Mapping[str, str]) -> None:
    """Draw each histogram on a line of its own; heights are square roots of counts."""
    rows = _largest(chart.rows)
    for place, row in enumerate(rows):
        top = math.sqrt(max(1, *row.counts))
        heights = [place - 0.82 * math.sqrt(count) / top for count in row.counts]
        color = palette["muted" if row.muted else "series-1"]
        axes.stairs(heights, row.edges, baseline=place, fill=True, color=color,
                    alpha=0.55 if row.muted else 0.85, linewidth=0)  # fmt: skip
        axes.axhline(place, color=palette["grid"], linewidth=0.8, zorder=0.5)
        if row.detail:
            axes.annotate(row.detail, (1.0, place), xycoords=("axes fraction", "data"),
                          xytext=(5, 1), textcoords="offset points", fontsize=9,
                          color=palette["muted"], va="bottom")  # fmt: skip
    axes.set_ylim(len(rows) - 0.75, -1.0)
    axes.set_yticks([place - 0.3 for place in range(len(rows))], [_short(r.label) for r in rows],
                    fontsize=9)  # fmt: skip
    axes.grid(visible=False, axis="y")


def _largest(rows: Sequence[Row]) -> list[Row]:
    if len(rows) <= MOST_ROWS:
        return list(rows)
    order = sorted(range(len(rows)), key=lambda place: -sum(rows[place].counts))
    return [rows[place] for place in sorted(order[:MOST_ROWS])]


def _short(label: str) -> str:
    """Return a label's end, which tells layers apart."""
    return label if len(label) <= _LONGEST else f"…{label[1 - _LONGEST :]}"


def _draw_marks(axes: Axes, marks: Sequence[StepMark], palette: Mapping[str, str]) -> None:
    for one, stroke in zip(marks, _mark_strokes(marks), strict=True):
        axes.axvline(one.mark.at, **_style(stroke, palette))


def _line_strokes(lines: Sequence[Line]) -> list[Stroke]:
    return [
        Stroke(_LINES[place % len(_LINES)], _DASHES[place % len(_DASHES)], 1.8, line.label)
        for place, line in enumerate(lines)
    ]


def _mark_strokes(marks: Sequence[StepMark]) -> list[Stroke]:
    """Return a line for each mark; those of steps that the run dropped are grey and dashed."""
    several = len({one.step for one in marks}) > 1
    return [
        Stroke(_CHOSEN if one.final else _OTHER, () if one.final else (1.5 + place, 1.5), 1.8,
               mark_label(one, several=several))
        for place, one in enumerate(marks)
    ]  # fmt: skip


def _style(stroke: Stroke, palette: Mapping[str, str]) -> dict[str, Any]:
    """Return how matplotlib is told; labels with an underscore stay out of its legend."""
    return {"color": palette[stroke.color], "linewidth": stroke.width,
            "linestyle": (0, stroke.dashes) if stroke.dashes else "-",
            "label": stroke.label or "_"}  # fmt: skip
