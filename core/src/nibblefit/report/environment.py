"""Versions of what computed a run's results, from its journal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nibblefit.plan import Stage
from nibblefit.workspace import OpenRun

_UNKNOWN: Mapping[str, str] = {}


def environment_of(run: OpenRun) -> Iterator[tuple[str, str]]:
    """Yield name and version of what the network was trained with, or else last computed with.

    A run may have been carried on elsewhere: versions that differ between steps are given for each
    of them. What an older nibblefit did not note is left out.
    """
    made = _environments(run)
    steps = [step for step in run.steps if step in made]
    trained = [step for step in steps if run.manifest(step).stage == Stage.TRAIN]
    for name in dict.fromkeys(key for step in steps for key in made[step]):
        versions = {step: made[step].get(name, "not noted") for step in steps}
        yield name, versions[(trained or steps)[-1]]
        if len(set(versions.values())) > 1:
            yield f"{name} by step", ", ".join(f"{s} {v}" for s, v in versions.items())


def _environments(run: OpenRun) -> dict[str, Mapping[str, str]]:
    """Return step → environment of the start of the run that finished it."""
    found: dict[str, Mapping[str, str]] = {}
    current = _UNKNOWN
    for event in run.journal():
        if event["event"] == "run":
            noted = event.get("environment")
            current = noted if isinstance(noted, dict) else _UNKNOWN
        elif event["event"] == "finished" and isinstance(event.get("step"), str):
            found[event["step"]] = current
    return {step: noted for step, noted in found.items() if noted}
