"""Norms of all groups and the curve of thresholds, as charts for reports and pictures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nibblefit.charts import Curves, Distributions, Line, Mark, Row
from nibblefit_tao.pruning.curve import curve
from nibblefit_tao.pruning.decisions import Ranking
from nibblefit_tao.pruning.look import Look

TOPIC = "Pruning"
#: Bins of a group's histogram.
BINS = 40
_NORMS = (
    "A row for each group of layers that are pruned together, with its number of filters; heights "
    "are square roots of counts. What lies left of a threshold goes. Grey: stays whole."
)
_CURVE = (
    "Shares of the unpruned network that remain. Where the curve is a cliff, a slightly larger "
    "threshold removes nearly everything: rather ask for a ratio."
)


def charts_for(look: Look, threshold: float | None = None) -> tuple[Distributions, Curves]:
    """Return the norms and the curve, with a threshold marked if one is given."""
    span = _span(look)
    found = look.curve
    marks = () if threshold is None else (_mark(look, threshold),)
    norms = Distributions(
        TOPIC, "Filters by their norm", tuple(_row(ranking, span) for ranking in look.rankings),
        "normalized norm of a filter", marks, span, _NORMS,
    )  # fmt: skip
    macs = found.macs / max(1, found.whole_macs)
    lines = (Line("parameters", _shares(found.ratios)),
             Line("multiply-accumulates", _shares(macs)))  # fmt: skip
    return norms, Curves(
        TOPIC, "What a threshold leaves", tuple(found.thresholds.tolist()), lines, "threshold",
        "% that remain", marks, span, stepped=True, note=_CURVE,
    )  # fmt: skip


def _row(ranking: Ranking, span: tuple[float, float]) -> Row:
    counts, edges = np.histogram(ranking.scores, bins=BINS, range=span)
    others = len(ranking.group.members) - 1
    return Row(
        ranking.group.name + (f" + {others}" if others else ""),
        tuple(edges.round(6).tolist()), tuple(counts.tolist()), bool(ranking.whole),
        str(len(ranking.scores)),
    )  # fmt: skip


def _span(look: Look) -> tuple[float, float]:
    """Return the part of the axis where filters are; from 0 unless they are far from it."""
    lowest = min(ranking.lowest for ranking in look.rankings)
    top = max(ranking.highest for ranking in look.rankings) or 1.0
    first = 0.0 if lowest < top / 2 else lowest - 0.1 * (top - lowest)
    return round(first, 6) if first < top else 0.0, round(top + 0.02 * (top - first), 6)


def _mark(look: Look, threshold: float) -> Mark:
    left = curve(look.coupling, look.rankings, [threshold]).ratios[0]
    return Mark(threshold, f"threshold {threshold:.3g} leaves {left:.1%}")


def _shares(values: npt.NDArray[np.float64]) -> tuple[float, ...]:
    return tuple((100 * values).round(4).tolist())
