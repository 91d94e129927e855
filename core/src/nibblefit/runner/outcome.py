"""What a run did: one record per step, gate and search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nibblefit.results import Table


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step of a run.

    Attributes:
        name: Name, with ``@round`` or ``@candidate`` where it has one.
        stage: Its stage.
        reused: Whether an earlier result was taken.
        reason: Why it ran; empty if it was reused.
        seconds: How long making the result took, in this run or an earlier one.
        digest: Digest of the result.
        folder: Where the result lies.
    """

    name: str
    stage: str
    reused: bool
    reason: str
    seconds: float
    digest: str
    folder: Path


@dataclass(frozen=True, slots=True)
class GateRecord:
    """One gate: what was measured, what was asked for, whether it holds."""

    name: str
    step: str
    metric: str
    value: float
    limit: float
    holds: bool


@dataclass(frozen=True, slots=True)
class SearchRecord:
    """One search: every candidate in a table, and the winner."""

    name: str
    winner: str
    settings: Mapping[str, Any]
    table: Table


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """Everything a finished run did, in order.

    Attributes:
        folder: The run folder; `nibblefit.open_run` opens the results.
        complete: Whether the plan was walked to its end (no ``until``).
    """

    folder: Path
    steps: tuple[StepRecord, ...]
    gates: tuple[GateRecord, ...] = ()
    searches: tuple[SearchRecord, ...] = ()
    complete: bool = True

    @property
    def digests(self) -> dict[str, str]:
        """Step name → digest of its result."""
        return {record.name: record.digest for record in self.steps}
