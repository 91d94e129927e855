"""Gates: one metric against one limit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nibblefit.errors import LimitError, PluginError
from nibblefit.plan import Gate
from nibblefit.results import Report
from nibblefit.runner.outcome import GateRecord
from nibblefit.tasks.protocol import rises

if TYPE_CHECKING:
    from nibblefit.tasks.protocol import Task


def metric_name(metric: str, task: Task) -> str:
    """Return a plan's metric; an empty one is the metric that ranks the task."""
    return metric or task.metric


def metric_of(report: Report, metric: str, step: str) -> float:
    """Return a metric of a step's report.

    Raises:
        PluginError: The report does not have it.
    """
    if metric not in report.metrics:
        raise PluginError(
            f"the report of step '{step}' has no metric '{metric}'",
            hint=f"it has: {', '.join(report.metrics) or 'none'}",
        )
    return float(report.metrics[metric])


def check_gate(gate: Gate, reports: Mapping[str, Report], task: Task) -> GateRecord:
    """Return whether a gate holds; a metric that is not a number closes it.

    Args:
        gate: The gate.
        reports: Reports of the steps it names.
        task: Names the metric and its direction where the gate leaves them open.
    """
    metric = metric_name(gate.metric, task)
    up = rises(metric, task)
    value = metric_of(reports[gate.step], metric, gate.step)
    limits = [] if gate.at_least is None else [gate.at_least]
    if gate.drop_from:
        before = metric_of(reports[gate.drop_from], metric, gate.drop_from)
        limits.append(before - gate.drop if up else before + gate.drop)
    limit = max(limits) if up else min(limits)
    if any(math.isnan(number) for number in limits):
        limit = math.nan
    # Accuracies are ratios of counts: a drop of exactly the allowed size must pass although
    # 0.97 − 0.01 is not the float next to 0.96.
    holds = math.isclose(value, limit, rel_tol=1e-12, abs_tol=1e-12) or (
        value >= limit if up else value <= limit
    )
    return GateRecord(gate.name, gate.step, metric, value, limit, holds)


def limit_text(gate: Gate, record: GateRecord, up: bool) -> str:
    """Return the limit in words: the number, and what it was derived from."""
    text = f"{'at least' if up else 'at most'} {record.limit:.4g}"
    if not gate.drop_from or gate.at_least is not None:
        return text
    return f"{text} ({gate.drop_from} {'less' if up else 'plus'} {gate.drop:g})"


def closed(gate: Gate, record: GateRecord, *, extra: str = "") -> LimitError:
    """Return the error of a gate that does not hold."""
    against = f", compared with '{gate.drop_from}'" if gate.drop_from else ""
    return LimitError(
        f"gate '{gate.name}' is closed: {record.metric} of '{record.step}' is {record.value:.6g}, "
        f"the limit is {record.limit:.6g}{against}{extra}",
        hint=gate.advice,
    )
