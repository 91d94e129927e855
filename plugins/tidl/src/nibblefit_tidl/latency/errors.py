"""How far the latency model is off: on what it was fitted to, and on what it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from nibblefit.results import Table
from nibblefit_tidl.latency.fitting import core_model, fit
from nibblefit_tidl.latency.published import Core, Point, points

CORES: tuple[Core, ...] = ("eve", "dsp")


@dataclass(frozen=True, slots=True)
class PointError:
    """Errors at one published latency, relative: 0.1 is 10 % too long.

    Attributes:
        point: The published latency.
        residual: Of the model fitted to all latencies, this one included.
        left_out: Of a model fitted to all others.
        network_left_out: Of a model fitted to all other networks; the other variant of the same
            network is left out as well.
    """

    point: Point
    residual: float
    left_out: float
    network_left_out: float


@cache
def point_errors(core: Core) -> tuple[PointError, ...]:
    """Return the errors at every published latency of a core."""
    measured = points(core)
    return tuple(
        PointError(
            point,
            _error(core_model(core).milliseconds(point.work), point),
            _unseen(core, [other for other in measured if other is not point], point),
            _unseen(core, [o for o in measured if o.network != point.network], point),
        )
        for point in measured
    )


def mean_error(errors: Sequence[float]) -> float:
    """Return the mean of magnitudes."""
    return sum(abs(error) for error in errors) / len(errors)


def note(core: Core) -> str:
    """Return in one line how much an estimate for a core is worth."""
    found = point_errors(core)
    residuals, unseen = [e.residual for e in found], [e.left_out for e in found]
    networks = len({e.point.network for e in found})
    return (
        f"the estimate for {core.upper()} was fitted to {len(found)} published latencies of "
        f"{networks} networks; it is off by {mean_error(residuals):.1%} on average (at most "
        f"{max(map(abs, residuals)):.1%}), and by {mean_error(unseen):.1%} (at most "
        f"{max(map(abs, unseen)):.1%}) where the latency was left out of the fit"
    )


def error_table() -> Table:
    """Return what the estimates are off by, at every published latency of both cores."""
    rows = tuple(
        (error.point.name, core.upper(), error.point.milliseconds, f"{error.residual:+.1%}",
         f"{error.left_out:+.1%}", f"{error.network_left_out:+.1%}")
        for core in CORES
        for error in point_errors(core)
    )  # fmt: skip
    columns = ("network", "core", "published ms", "estimate off by", "left out of the fit",
               "network left out")  # fmt: skip
    return Table("Published latencies", columns, rows)


def _unseen(core: Core, others: list[Point], point: Point) -> float:
    return _error(fit(core, others).milliseconds(point.work), point)


def _error(estimate: float, point: Point) -> float:
    return estimate / point.milliseconds - 1.0
