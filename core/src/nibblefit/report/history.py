"""The steps of a run as its journal tells them: how each ended, how long it took, why it ran."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nibblefit.report import wording
from nibblefit.report.contents import StepRow
from nibblefit.report.variants import Variants, touched
from nibblefit.workspace import OpenRun

#: Journal events about a step → how they are called.
_EVENTS = {
    "started": "not finished",
    "finished": "done",
    "reused": "reused",
    "failed": "failed",
    "interrupted": "interrupted",
}


def step_rows(run: OpenRun) -> tuple[StepRow, ...]:
    """Return one row per step of the current plan that was ever started."""
    states, current = _states(run), Variants(run).current()
    known = touched(run) | _planned(run)
    unfinished = [s for s in states if s not in run.steps and (s in known or _plain(s) in known)]
    return tuple(_row(run, s, states.get(s, {})) for s in (*current, *unfinished))


def left_over(run: OpenRun) -> tuple[str, ...]:
    """Return the steps that are only in an earlier plan of this run, as they were first met."""
    shown = {row.name for row in step_rows(run)}
    return tuple(step for step in dict.fromkeys((*_states(run), *run.steps)) if step not in shown)


def _states(run: OpenRun) -> dict[str, dict[str, Any]]:
    states: dict[str, dict[str, Any]] = {}
    for event in run.journal():
        if event["event"] in _EVENTS and isinstance(event.get("step"), str):
            states.setdefault(event["step"], {}).update(event)
    return states


def _planned(run: OpenRun) -> set[str]:
    """Return the names of the items of the current plan."""
    try:
        return set(json.loads((run.path / "plan.json").read_bytes())["order"])
    except (OSError, ValueError, KeyError, TypeError):
        return set()  # without the plan only what the latest start got to is known


def _plain(step: str) -> str:
    return step if "@" not in step else ""


def _row(run: OpenRun, step: str, state: Mapping[str, Any]) -> StepRow:
    why = wording.reason(str(state.get("reason", "")))
    if step not in run.steps:
        return StepRow(step, "", _EVENTS[state["event"]], None, why)
    manifest = run.manifest(step)
    status = _EVENTS[state.get("event", "finished")]
    return StepRow(step, manifest.stage, status, manifest.seconds, why)
