"""Plans: the order of a run as data — steps, gates, repeats and candidates.

A target hands the runner a plan; the runner walks it. Every step has a name that is unique in the
plan; the recipe addresses it (``[train.qat]``) and the run folder is laid out by it. Steps hand
values over through the run folder alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from nibblefit.ir.graph import frozen_mapping


class Stage(StrEnum):
    """Kinds of step; each is a hook of the same name."""

    PREPARE = "prepare"
    TRAIN = "train"
    PRUNE = "prune"
    QUANTIZE = "quantize"
    COMPILE = "compile"
    EVALUATE = "evaluate"


@dataclass(frozen=True, slots=True)
class Step:
    """Run one stage.

    Attributes:
        stage: Which hook.
        name: Unique in the plan, a short lower-case word; also the recipe sub-table that
            overrides the stage's settings (``[train.<name>]``).
        subject: Name of the step whose result goes in; empty = the latest result that fits the
            stage (a model for train, prune and quantize; a quantized graph for compile; anything
            for evaluate).
        options: Settings the plan itself fixes for this step, such as ``{"phase": "qat"}``.
        reads: Recipe sections (``evaluate``) or keys (``quantize.layers``) this step reads beyond
            those of its stage; a change in what a step does not read never runs it again.
        needs_reference: Hand a compile step the float model behind its integers as
            `nibblefit.run.Run.reference`, and run it again when that model changes. Evaluate
            steps always get it.
    """

    stage: Stage
    name: str
    subject: str = ""
    options: Mapping[str, Any] = field(default_factory=frozen_mapping)
    reads: tuple[str, ...] = ()
    needs_reference: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """Stop the run unless a metric of an evaluate step holds.

    Attributes:
        name: Unique in the plan.
        step: Evaluate step whose report is read.
        metric: Metric name in that report; empty = the metric that ranks the recipe's task. If
            less of the metric is better (`nibblefit.tasks.protocol.rises`), `at_least` is a
            ceiling and `drop` a rise.
        at_least: Floor; None if only `drop` counts.
        drop_from: Evaluate step to compare with; the metric may fall by at most `drop`.
        advice: What to change when the gate closes; shown to the user.
    """

    name: str
    step: str
    metric: str
    at_least: float | None = None
    drop_from: str = ""
    drop: float = 0.0
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Repeat:
    """Run the body until its gate holds, at most `at_most` times.

    Round r runs the body's steps as ``<step>@<r>``, starting from the previous round's result.
    If the gate never holds, the run stops with the gate's advice.
    """

    name: str
    body: tuple[PlanItem, ...]
    until: Gate
    at_most: int


@dataclass(frozen=True, slots=True)
class Candidates:
    """Run the body once per candidate and keep the best that passes.

    Attributes:
        settings: Candidate name → recipe keys it sets (dotted key → value). Each candidate runs
            the body's steps as ``<step>@<candidate>``, separately resumable.
        judge: Evaluate step of the body whose report decides.
        metric: Metric to maximise (`maximize` False: to minimise).
        floor: Gate on the same report that a candidate must pass to be eligible; None = all are.
            Of the eligible ones the best wins; ties go to the earlier one. The winner's results
            and settings hold for the rest of the plan.
        prefer: Metric to optimise instead once the floor holds (for "smallest that is accurate
            enough"); empty = `metric`.
        first_wins: Candidates are tried in their order and the first eligible one is kept; those
            after it are not run (for "accept, or try the next").
    """

    name: str
    settings: Mapping[str, Mapping[str, Any]]
    body: tuple[PlanItem, ...]
    judge: str
    metric: str
    maximize: bool = True
    floor: Gate | None = None
    prefer: str = ""
    first_wins: bool = False


PlanItem: TypeAlias = Step | Gate | Repeat | Candidates
Plan: TypeAlias = tuple[PlanItem, ...]
