"""Rounds and candidates of a run: which of them count, and which an earlier plan left behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nibblefit.errors import WorkspaceError
from nibblefit.workspace import OpenRun

WINNER = "winner"
LAST_ROUND = "last round"
_ROUND = "round-"


class Variants:
    """What the searches and repeats of a run ended in."""

    def __init__(self, run: OpenRun) -> None:
        self._run = run
        self._outcomes: dict[str, Mapping[str, Any] | None] = {}
        self._touched = touched(run)

    def current(self) -> tuple[str, ...]:
        """Return the finished steps of the current plan, in plan order."""
        return tuple(step for step in self._run.steps if not self._is_left_over(step))

    def final(self) -> tuple[str, ...]:
        """Return the current steps without earlier rounds and candidates that lost."""
        return tuple(step for step in self.current() if self._counts(step))

    def chosen(self, step: str) -> str:
        """Return ``winner`` or ``last round``; empty for all other steps."""
        groups = self._groups(step)
        if not groups or not self._counts(step):
            return ""
        facts = groups[0][1]
        if facts is None or "aliases" not in facts:
            return ""
        return WINNER if "winner" in facts else LAST_ROUND

    def _counts(self, step: str) -> bool:
        """Return whether the rest of the plan goes on with a step's result."""
        groups = self._groups(step)
        if not groups or groups[0][1] is None:
            return True
        aliases = groups[0][1].get("aliases")
        return aliases is None or step in aliases.values()

    def _is_left_over(self, step: str) -> bool:
        return step not in self._touched and any(
            facts is not None and not _knows(facts, variant)
            for variant, facts in self._groups(step)
        )

    def _groups(self, step: str) -> list[tuple[str, Mapping[str, Any] | None]]:
        """Return the groups a step is in, outermost first: its variant there, and the outcome."""
        parts = self._run.folder(step).relative_to(self._run.path / "stages").parts[:-1]
        found, suffix = [], ""
        for folder, variant in zip(parts[::2], parts[1::2], strict=False):
            name = folder.partition("-")[2] + suffix
            found.append((variant, self._outcome(name)))
            suffix += "@" + variant.removeprefix(_ROUND)
        return found

    def _outcome(self, group: str) -> Mapping[str, Any] | None:
        if group not in self._outcomes:
            try:
                self._outcomes[group] = self._run.outcome(group)
            except WorkspaceError:
                self._outcomes[group] = None  # the group has not come to its end yet
        return self._outcomes[group]


def _knows(facts: Mapping[str, Any], variant: str) -> bool:
    """Return whether a group's outcome is about a round or candidate."""
    if "rounds" in facts:
        number = variant.removeprefix(_ROUND)
        return number.isdigit() and int(number) <= int(facts["rounds"])
    return variant in facts.get("settings", {variant: {}})


def touched(run: OpenRun) -> set[str]:
    """Return the steps that the latest start of a run got to."""
    found: set[str] = set()
    for event in run.journal():
        if event["event"] == "run":
            found = set()
        elif isinstance(event.get("step"), str):
            found.add(event["step"])
    return found
