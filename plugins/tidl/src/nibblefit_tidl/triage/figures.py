"""Drawings of a triage as PNG: signal to noise per layer, scatter against 45 degrees."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from nibblefit.errors import MissingExtraError
from nibblefit.report.plots import FULL_SCALE_DB, LOW_NOISE_RATIO_DB
from nibblefit_tidl.triage.differences import LayerError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Layers in the scatter drawing; of more, those with the lowest ratio.
SCATTERS = 12
_COLUMNS = 4
_BLUE, _RED, _GREY = "#0b63a5", "#b3261e", "#56616f"


@dataclass(frozen=True, slots=True)
class Drawings:
    """Both drawings as PNG bytes."""

    ratios: bytes
    scatter: bytes


def require_drawing() -> None:
    """Raise MissingExtraError unless the extra ``report`` is installed; asked before long work."""
    if any(find_spec(module) is None for module in ("matplotlib", "jinja2")):
        raise MissingExtraError("the page of a triage", "report")


def drawings_of(errors: Sequence[LayerError]) -> Drawings:
    """Return the drawings of a triage."""
    return Drawings(ratio_figure(errors), scatter_figure(errors))


def ratio_figure(errors: Sequence[LayerError]) -> bytes:
    """Return signal to noise per layer, in order of execution; a dashed line marks four bits."""
    figure = _figure(9.0, 0.26 * len(errors) + 1.1)
    axes: Axes = figure.subplots()
    places = range(len(errors))
    heights = [_drawn(error.decibels) for error in errors]
    colors = [_RED if error.decibels < LOW_NOISE_RATIO_DB else _BLUE for error in errors]
    axes.barh(places, heights, color=colors, height=0.7)
    axes.axvline(LOW_NOISE_RATIO_DB, color=_GREY, linestyle="--", linewidth=1)
    names = [f"{error.layer.name} [{error.layer.data_id}]" for error in errors]
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("signal to noise [dB]")
    return _png(figure)


def scatter_figure(errors: Sequence[LayerError]) -> bytes:
    """Return float value against what the code means, one square per layer; right is on the line.

    Of more than `SCATTERS` layers, those with the lowest ratio are drawn, in order of execution.
    """
    chosen = shown(errors)
    rows = -(-len(chosen) // _COLUMNS)
    figure = _figure(2.6 * _COLUMNS, 2.8 * rows)
    grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes, error in zip(grid, chosen, strict=False):
        _scatter(axes, error)
    for axes in grid[len(chosen) :]:
        axes.set_visible(False)
    return _png(figure)


def shown(errors: Sequence[LayerError]) -> list[LayerError]:
    """Return the layers that the scatter drawing has, in order of execution."""
    lowest = sorted(errors, key=lambda error: error.decibels)[:SCATTERS]
    return [error for error in errors if error in lowest]


def _scatter(axes: Axes, error: LayerError) -> None:
    low, high = float(error.points.min(initial=0.0)), float(error.points.max(initial=0.0))
    axes.plot([low, high], [low, high], color=_GREY, linewidth=0.8)
    axes.plot(error.points[:, 0], error.points[:, 1], ".", color=_BLUE, markersize=2.5)
    ratio = "exact" if error.decibels == math.inf else f"{error.decibels:.1f} dB"
    name = error.layer.name if len(error.layer.name) <= 24 else f"…{error.layer.name[-23:]}"
    axes.set_title(f"{name}\n{ratio}", fontsize=8)
    axes.set_xlabel("float", fontsize=7)
    axes.set_ylabel("integer", fontsize=7)
    axes.tick_params(labelsize=6)


def _drawn(ratio: float) -> float:
    return min(FULL_SCALE_DB, max(0.0, ratio))


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=100)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
