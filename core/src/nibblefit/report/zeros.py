"""Zeros among the weights of pruned networks: in all, in a target's own ways, and per layer."""

from __future__ import annotations

from collections.abc import Sequence

from nibblefit.report import wording
from nibblefit.report.contents import Bar, Bars, Measured
from nibblefit.results import Report, Table

#: The metric of every pruned network, counted over all weights; targets add ``sparsity_…``.
_ALL = "sparsity"
_LAYER, _WEIGHTS, _ZEROS = 0, "weights", "zeros"


def zeros_table(measured: Sequence[Measured]) -> Table | None:
    """Return every evaluation with its shares of zeros, one column per way of counting.

    None if no network has any.
    """
    names = dict.fromkeys(
        name for one in measured for name in one.metrics if wording.is_share(name)
    )
    rows = [
        (one.subject, one.step, *(_cell(one, name) for name in names))
        for one in measured
        if any(name in one.metrics for name in names)
    ]
    columns = ("network", "step", *map(_way, names))
    return Table("Share of zeros", columns, tuple(rows)) if rows else None


def zeros_chart(step: str, report: Report) -> Bars | None:
    """Return the share of zeros per layer as bars, from the first table that counts them."""
    for table in report.tables:
        if {_WEIGHTS, _ZEROS} <= set(table.columns):
            weights, zeros = table.columns.index(_WEIGHTS), table.columns.index(_ZEROS)
            bars = tuple(_bar(str(row[_LAYER]), row[weights], row[zeros]) for row in table.rows)
            return Bars(f"Zeros per layer ({step})", bars) if bars else None
    return None


def _bar(layer: str, weights: int, zeros: int) -> Bar:
    share = zeros / max(1, weights)
    return Bar(layer, share, f"{100 * share:.1f} %", f"{zeros:,} of {weights:,}")


def _cell(one: Measured, name: str) -> str:
    return wording.metric(name, one.metrics[name]) if name in one.metrics else "–"


def _way(name: str) -> str:
    return "of all weights" if name == _ALL else name.removeprefix(f"{_ALL}_").replace("_", " ")
