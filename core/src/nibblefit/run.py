"""`Run`: the one handle given to every hook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from nibblefit.ir.graph import frozen_mapping
from nibblefit.plan import Stage

if TYPE_CHECKING:
    from nibblefit.data.source import DataSource
    from nibblefit.hooks import Hooks
    from nibblefit.models import Model
    from nibblefit.recipe import Recipe
    from nibblefit.tasks.protocol import Task


class Reporter(Protocol):
    """Where a stage tells the user about progress; never print."""

    def say(self, message: str) -> None:
        """Show one line."""

    def warn(self, message: str) -> None:
        """Show one line that asks for attention; kept in the run's journal."""

    def progress(self, label: str, total: int | None) -> ProgressBar:
        """Start a progress bar; use as a context manager."""


@runtime_checkable
class StepReporter(Protocol):
    """A reporter that shows the run's steps in a way of its own; others get lines to say."""

    def step(self, name: str, reason: str) -> None:
        """Show that a step begins and why, or, with an empty reason, that its result is reused."""


class ProgressBar(Protocol):
    """One running bar."""

    def advance(self, amount: int = 1, **figures: float) -> None:
        """Move on, and show the latest figures (loss=…)."""

    def __enter__(self) -> ProgressBar: ...

    def __exit__(self, *exc: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Run:
    """Read-only facts of a run, made anew for each step.

    Attributes:
        recipe: The validated recipe (a candidate's overrides already applied).
        stage: Stage being run.
        step: Name of the step being run.
        part: Device of the target, empty if it has none.
        options: The target's own options (its pydantic model, from ``[target]``).
        step_options: Options fixed by the plan for this step.
        folder: Folder this step writes its files to; becomes the step's result when it ends.
        scratch: Folder for checkpoints of the step in progress; survives a kill, goes away when
            the step ends.
        seed: Seed for everything random in this step.
        device: torch device, ``cpu`` or ``cuda``.
        artifact_folder: Folder the files of the artifact in hand start from: `folder` while it is
            compiled and read back, the compile step's folder when it is evaluated.
        reference: The model that the integers in hand were made from, for comparing with it; set
            where an integer graph or its files are evaluated in a plan that made them, and for
            compile steps that ask for it (`nibblefit.plan.Step.needs_reference`), else None.
        calibration: The data of ``[calibration]``, for steps that read it; None if the recipe
            names none. Read `calibration_data`.
        hooks: Typed way to call other hooks (`nibblefit.hooks.Hooks`).
        reporter: Progress and messages.
    """

    recipe: Recipe
    stage: Stage
    step: str
    part: str
    options: Any
    folder: Path
    scratch: Path
    seed: int
    device: str
    hooks: Hooks
    reporter: Reporter
    task: Task
    data: DataSource
    step_options: Mapping[str, Any] = field(default_factory=frozen_mapping)
    artifact_folder: Path = Path()
    reference: Model | None = None
    calibration: DataSource | None = None

    @property
    def calibration_data(self) -> DataSource:
        """Data whose training split calibrates: that of ``[calibration]``, else the run's own."""
        return self.data if self.calibration is None else self.calibration
