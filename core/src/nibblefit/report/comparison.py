"""Evaluations side by side: which one each is to be compared with, and what was lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from nibblefit.errors import NibblefitError, WorkspaceError
from nibblefit.plan import Candidates, Gate, PlanItem, Repeat
from nibblefit.report import wording
from nibblefit.report.contents import Measured
from nibblefit.report.lineage import Lineage
from nibblefit.report.variants import Variants
from nibblefit.results import Report, Table
from nibblefit.tasks.protocol import rises
from nibblefit.workspace import OpenRun


def leading_metric(reports: Sequence[Report]) -> str:
    """Return the metric that stands for accuracy: the first share of one, else the first."""
    metrics = [name for report in reports for name in report.metrics]
    names = [name for name in metrics if not wording.is_share(name)]
    return next((n for n in names if wording.is_fraction(n)), names[0] if names else "")


def compared(run: OpenRun, reports: Mapping[str, Report]) -> tuple[Measured, ...]:
    """Return every evaluation with the one it is compared with.

    That is the step a gate of the plan compares it with (`drop_from`), else the evaluation of the
    float model it was made from. Rounds and candidates are compared within themselves.

    Args:
        run: The run.
        reports: Evaluate step of the current plan → report, in the order of the run.
    """
    metric = leading_metric(list(reports.values()))
    variants, gates = Variants(run), dict(_gates(_plan(run)))
    lineage, final = Lineage(run, variants.current()), set(variants.final())
    found = []
    for step, report in reports.items():
        if not report.metrics:
            continue
        against = _gated(run, gates, step, reports) or lineage.float_evaluation(step)
        base = reports[against].metrics.get(metric) if against in reports else None
        own = report.metrics.get(metric)
        drop = None
        if base is not None and own is not None:
            drop = base - own if rises(metric) else own - base
        found.append(
            Measured(
                step, report.subject, dict(report.metrics), against if drop is not None else "",
                drop, variants.chosen(step), step in final,
            )
        )  # fmt: skip
    return tuple(found)


def _plan(run: OpenRun) -> Sequence[PlanItem]:
    from nibblefit.runner import make_manager

    try:
        return make_manager(run.recipe).plan(run.recipe)
    except NibblefitError:
        # The plugin may be gone by now; manifests still say what was made from what.
        return ()


def _gates(items: Sequence[PlanItem]) -> Iterator[tuple[str, str]]:
    """Yield step → step it must not fall behind, of every gate of a plan."""
    for item in items:
        own = [item] if isinstance(item, Gate) else []
        if isinstance(item, Repeat | Candidates):
            yield from _gates(item.body)
            last = item.until if isinstance(item, Repeat) else item.floor
            own = [last] if last is not None else []
        yield from ((gate.step, gate.drop_from) for gate in own if gate.drop_from)


def _gated(run: OpenRun, gates: Mapping[str, str], step: str,
           reports: Mapping[str, Report]) -> str:  # fmt: skip
    """Return the step that a gate compares a step with, in the same round; empty without gate."""
    plain, _, suffix = step.partition("@")
    wanted = gates.get(plain, "")
    if not wanted:
        return ""
    rounds = suffix.split("@") if suffix else []
    for count in range(len(rounds), -1, -1):
        name = "@".join((wanted, *rounds[:count]))
        if name in reports:
            return name
    try:
        return run.manifest(wanted).step  # of the last round or the winner
    except WorkspaceError:
        return ""


def shared_metrics(measured: Sequence[Measured]) -> list[str]:
    """Return the metrics that can be compared: all of a lone subject, else those of two or more.

    Of the shares of zeros the first is enough; `nibblefit.report.zeros` shows them all.
    """
    counts = Counter(name for one in measured for name in one.metrics)
    for name in [name for name in counts if wording.is_share(name)][1:]:
        del counts[name]
    return [name for name, count in counts.items() if count > 1 or len(measured) == 1]


def final_drop(measured: Sequence[Measured]) -> float | None:
    """Return what the last network that counts has lost; negative if it has gained."""
    drops = [one.drop for one in measured if one.final and one.drop is not None]
    return drops[-1] if drops else None


def pruned_share(measured: Sequence[Measured]) -> float | None:
    """Return the share of zeros in the last network that counts; None if none was pruned."""
    shares = _shares(measured)
    return shares[-1] if shares else None


def share_before(measured: Sequence[Measured]) -> float | None:
    """Return the share of zeros in the network that the last one was made from.

    None where it is the same to 0.01 points, or where there is none.
    """
    shares = _shares(measured)
    changed = len(shares) > 1 and round(shares[-1], 4) != round(shares[-2], 4)
    return shares[-2] if changed else None


def _shares(measured: Sequence[Measured]) -> list[float]:
    return [one.metrics["sparsity"] for one in measured if one.final and "sparsity" in one.metrics]


def results_table(measured: Sequence[Measured], metric: str) -> Table:
    """Return one row per evaluation: its step, the metrics that can be compared, and the change.

    Args:
        measured: The evaluations.
        metric: Metric of the change; shown only if it is a share of one.
    """
    names = shared_metrics(measured)
    bases = {one.against for one in measured if one.against}
    has_change = bool(bases) and wording.is_fraction(metric)
    has_variants = any(one.chosen for one in measured)
    columns = ("network", "step", *names, *(["change"] if has_change else []),
               *(["chosen"] if has_variants else []))  # fmt: skip
    rows = []
    for one in measured:
        shown = [wording.metric(n, one.metrics[n]) if n in one.metrics else "–" for n in names]
        change = "–" if one.drop is None else wording.change(one.drop)
        if one.drop is not None and len(bases) > 1:
            change += f" from {one.against}"
        rows.append((one.subject, one.step, *shown, *([change] if has_change else []),
                     *([one.chosen] if has_variants else [])))  # fmt: skip
    return Table("Results on the test split", columns, tuple(rows))
