"""Charts that a stage leaves with its result, and the report draws: values, no drawing.

Any stage of any target may put ``[as_entry(chart), …]`` under ``charts`` in what it returns: in
`Model.extra`, `Report.arrays`, `Artifact.notes` or the metadata of a quantized graph. Charts that
differ in their marks alone, such as those of a search's candidates, are drawn as one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nibblefit.errors import PluginError

#: Under which a result carries its charts.
KEY = "charts"


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on the x axis, drawn as a line across the chart; without a label it has no name."""

    at: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A curve: one value for each x."""

    label: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Curves:
    """Curves over one axis.

    Attributes:
        topic: Heading of the report's section.
        title: Heading of the chart.
        x: Ascending places.
        lines: The curves.
        x_label, y_label: What the axes are, with their units.
        marks: See `Mark`.
        span: First and last x to show; None shows all.
        stepped: Whether a value holds up to the next x, as counts do.
        note: A sentence that says how to read the chart.
    """

    topic: str
    title: str
    x: tuple[float, ...]
    lines: tuple[Line, ...]
    x_label: str = ""
    y_label: str = ""
    marks: tuple[Mark, ...] = ()
    span: tuple[float, float] | None = None
    stepped: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse curves of another length than the axis, and numbers that cannot be drawn."""
        lengths = {len(line.values) for line in self.lines}
        if lengths != {len(self.x)} or not self.x:
            raise ValueError(f"{len(self.x)} places, but curves of {sorted(lengths)} values")
        _check_drawable([*self.x, *(value for line in self.lines for value in line.values)])
        _check_axis(self.marks, self.span)


@dataclass(frozen=True, slots=True)
class Row:
    """One histogram of several: counts between edges, one more edge than counts.

    Attributes:
        label: Its name.
        edges, counts: Ascending edges; counts between them.
        muted: Drawn grey: it stands outside of what the chart is about.
        detail: A few letters behind the histogram.
    """

    label: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    muted: bool = False
    detail: str = ""

    def __post_init__(self) -> None:
        """Refuse edges that do not fit the counts."""
        if not self.counts or len(self.edges) != len(self.counts) + 1:
            raise ValueError(f"'{self.label}' has {len(self.counts)} counts between "
                             f"{len(self.edges)} edges")  # fmt: skip
        _check_drawable([*self.edges, *self.counts])


@dataclass(frozen=True, slots=True)
class Distributions:
    """Histograms below each other over one axis; see `Curves` for what is not said here.

    Attributes:
        rows: The histograms, from the top.
    """

    topic: str
    title: str
    rows: tuple[Row, ...]
    x_label: str = ""
    marks: tuple[Mark, ...] = ()
    span: tuple[float, float] | None = None
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse a chart without rows."""
        if not self.rows:
            raise ValueError(f"'{self.title}' has no rows")
        _check_axis(self.marks, self.span)


Chart = Curves | Distributions
_KINDS: Mapping[str, type[Chart]] = {"curves": Curves, "distributions": Distributions}


def as_entry(chart: Chart) -> dict[str, Any]:
    """Return a chart as JSON-like values, for a result's list of charts."""
    kind = next(name for name, one in _KINDS.items() if isinstance(chart, one))
    return {"kind": kind, **asdict(chart)}


def charts_of(holder: Mapping[str, Any]) -> Iterator[Chart]:
    """Return the charts in a result's mapping of extras, none if it has none.

    Raises:
        PluginError: An entry is no chart.
    """
    entries = holder.get(KEY, ())
    if not isinstance(entries, Iterable) or isinstance(entries, str | Mapping):
        raise _broken(f"'{KEY}' is no list")
    for entry in entries:
        try:
            yield _chart(entry)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise _broken(f"{type(error).__name__}: {error}") from error


def _chart(entry: Mapping[str, Any]) -> Chart:
    kind, fields = entry["kind"], {key: entry[key] for key in entry if key != "kind"}
    if kind not in _KINDS:
        raise ValueError(f"kind is {kind!r}; expected {' or '.join(_KINDS)}")
    span = fields.get("span")
    fields["span"] = None if span is None else (float(span[0]), float(span[1]))
    fields["marks"] = tuple(
        Mark(float(mark["at"]), str(mark.get("label", ""))) for mark in fields.get("marks", ())
    )
    if kind == "curves":
        fields["x"] = _numbers(fields["x"])
        fields["lines"] = tuple(
            Line(str(line["label"]), _numbers(line["values"])) for line in fields["lines"]
        )
    else:
        fields["rows"] = tuple(_row(row) for row in fields["rows"])
    return _KINDS[kind](**fields)


def _row(entry: Mapping[str, Any]) -> Row:
    return Row(str(entry["label"]), _numbers(entry["edges"]), tuple(map(int, entry["counts"])),
               bool(entry.get("muted", False)), str(entry.get("detail", "")))  # fmt: skip


def _numbers(values: Iterable[Any]) -> tuple[float, ...]:
    return tuple(map(float, values))


def _check_axis(marks: tuple[Mark, ...], span: tuple[float, float] | None) -> None:
    _check_drawable([mark.at for mark in marks])
    if span is not None and not span[0] < span[1]:
        raise ValueError(f"the axis would go from {span[0]:g} to {span[1]:g}")


def _check_drawable(values: Iterable[float]) -> None:
    if not all(map(math.isfinite, values)):
        raise ValueError("a number is not finite")


def _broken(reason: str) -> PluginError:
    return PluginError(f"a chart cannot be drawn ({reason})",
                       hint="nibblefit.charts says what charts look like")  # fmt: skip
