"""The searches of a run: all candidates in one table, those that are out and never ran too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nibblefit.report import wording
from nibblefit.results import Table
from nibblefit.workspace import OpenRun

#: Columns of an outcome's table before its metrics.
_LEADING = 3


def search_tables(run: OpenRun) -> tuple[Table, ...]:
    """Return a table for every search that the latest start of a run got to."""
    reached = _reached(run)
    return tuple(
        _table(facts) for facts in run.outcomes()
        if "winner" in facts and str(facts["name"]).partition("@")[0] in reached
    )  # fmt: skip


def _reached(run: OpenRun) -> set[str]:
    found: set[str] = set()
    for event in run.journal():
        if event["event"] == "run":
            found = set()
        elif event["event"] == "candidate":
            found.add(str(event.get("search", "")))
    return found


def _table(facts: Mapping[str, Any]) -> Table:
    names = [str(name) for name in facts["columns"][_LEADING:]]
    columns = ("candidate", "sets", "outcome", *names)
    return Table(f"Candidates of {facts['name']}", columns, tuple(_rows(facts, names)))


def _rows(facts: Mapping[str, Any], names: list[str]) -> Iterator[tuple[str, ...]]:
    tried = {str(row[0]): row for row in facts["rows"]}
    for candidate, settings in facts["settings"].items():
        sets = ", ".join(f"{key} = {value}" for key, value in settings.items())
        row = tried.get(candidate)
        if row is None:
            yield candidate, sets, "not needed", *("–" for _ in names)
            continue
        _, eligible, note, *values = row
        outcome = "wins" if candidate == facts["winner"] else "holds" if eligible else "out"
        shown = [
            "–" if value is None else wording.metric(name, value)
            for name, value in zip(names, values, strict=True)
        ]
        if all(value is None for value in values):
            outcome += f": {note}"
        yield candidate, sets, outcome, *shown
