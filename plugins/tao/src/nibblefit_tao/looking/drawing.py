"""The same as a picture: norms group by group above, the curve below (extra ``report``)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from nibblefit.errors import MissingExtraError
from nibblefit_tao.pruning.stage import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _ORANGE, _GREY = "#1f5fbf", "#d1690f", "#8a8a8a"
#: Groups with a label of their own; of more, only the largest are named.
_NAMED = 40
_LONGEST = 38


def picture(look: Look, threshold: float | None = None) -> bytes:
    """Return a PNG.

    Args:
        look: What there is to see.
        threshold: Marked with a line; None marks none.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("drawing norms", "report") from error
    rows = len(look.rankings)
    norms = max(2.0, 0.22 * rows + 0.8)
    figure = Figure(figsize=(9.0, norms + 3.6), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=[norms, 3.2])
    _norms(above, look)
    _curve(below, look)
    for axes in (above, below):
        if threshold is not None:
            axes.axvline(
                threshold, color=_ORANGE, linewidth=1.5, label=f"threshold {threshold:.3g}"
            )
    if threshold is not None:
        below.legend(frameon=False)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _norms(axes: Axes, look: Look) -> None:
    """Draw one dot a filter, one row a group: clouds and gaps show where a threshold bites."""
    largest = sorted((len(r.scores) for r in look.rankings), reverse=True)[:_NAMED]
    names = []
    for row, ranking in enumerate(look.rankings):
        # A fixed scatter within the row keeps dots apart.
        shift = ((np.arange(len(ranking.scores)) * 0.618034) % 1.0 - 0.5) * 0.7
        color: Any = _GREY if ranking.whole else _BLUE
        axes.scatter(ranking.scores, row + shift, s=5, alpha=0.55, color=color, linewidths=0)
        others = len(ranking.group.members) - 1
        name = ranking.group.name + (f" + {others}" if others else "")
        short = name if len(name) <= _LONGEST else f"…{name[-_LONGEST:]}"
        names.append(short if len(ranking.scores) >= largest[-1] else "")
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(left=0.0)
    axes.set_xlabel("normalized norm of a filter (grey: its group stays whole)")
    axes.set_title("Filters by group of layers that go together", loc="left", fontsize=10)


def _curve(axes: Axes, look: Look) -> None:
    found = look.curve
    macs = found.macs / max(1, found.whole_macs)
    axes.step(found.thresholds, found.ratios, where="post", color=_BLUE, label="parameters")
    axes.step(found.thresholds, macs, where="post", color=_GREY, linestyle="--",
              label="multiply-accumulates")  # fmt: skip
    axes.set_xlim(left=0.0)
    axes.set_ylim(0.0, 1.03)
    axes.set_xlabel("threshold")
    axes.set_ylabel("share that remains")
    axes.set_title("What a threshold leaves", loc="left", fontsize=10)
    axes.grid(visible=True, linewidth=0.4, alpha=0.5)
    axes.legend(frameon=False)
