"""Charts of a run's steps, as drawings: those that differ in their marks alone are one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from nibblefit.charts import Chart, Mark


@dataclass(frozen=True, slots=True)
class StepMark:
    """A mark, the step that it is from, and whether the run goes on with that step's result."""

    mark: Mark
    step: str
    final: bool = True


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart as it stands on the page.

    Attributes:
        chart: The chart, without marks.
        step: The step that it is from, the first of several.
        marks: The marks of all steps with the same chart.
    """

    chart: Chart
    step: str
    marks: tuple[StepMark, ...] = ()


def merged(charts: Sequence[tuple[str, Chart]], final: Sequence[str]) -> tuple[Drawn, ...]:
    """Return the charts of all steps, equal ones joined.

    Args:
        charts: Step and chart, in the order of the run; later results may carry earlier charts on.
        final: The steps that the run goes on with.
    """
    found: dict[Chart, Drawn] = {}
    for step, chart in charts:
        bare = replace(chart, marks=())
        drawn = found.setdefault(bare, Drawn(bare, step))
        known = [one.mark for one in drawn.marks]
        new = [StepMark(m, step, step in final) for m in chart.marks if m not in known]
        found[bare] = replace(drawn, marks=(*drawn.marks, *new))
    return tuple(found.values())


def by_topic(drawn: Sequence[Drawn]) -> list[tuple[str, list[Drawn]]]:
    """Return charts by their topic, topics in the order in which they come first."""
    topics = list(dict.fromkeys(one.chart.topic for one in drawn))
    ordered = sorted(drawn, key=lambda one: topics.index(one.chart.topic))
    return [(t, list(group)) for t, group in groupby(ordered, key=lambda one: one.chart.topic)]


def mark_label(one: StepMark, *, several: bool) -> str:
    """Return a mark's name; among those of several candidates, with the candidate's."""
    candidate = one.step.partition("@")[2]
    if not (several and candidate):
        return one.mark.label
    chosen = " (goes on)" if one.final else ""
    return f"{candidate}: {one.mark.label}{chosen}" if one.mark.label else f"{candidate}{chosen}"
