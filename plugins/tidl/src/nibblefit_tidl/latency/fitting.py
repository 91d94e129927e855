"""The latency model of a core: milliseconds per unit of work, fitted to the published latencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from nibblefit_tidl.latency.published import Core, Point, points
from nibblefit_tidl.latency.work import Work

_Array = npt.NDArray[np.float64]

#: What a core's time depends on. EVE emulates floating point, so softmax counts there; its sparse
#: kernel pays for every weight it fetches (about 26 cycles) and gains little reuse from 1 × 1. On
#: the DSP those need no term of their own; networks with branches take much longer there than their
#: operations explain, which the count of concatenations stands for.
TERMS: Mapping[Core, tuple[str, ...]] = MappingProxyType({
    "eve": ("window_macs", "point_macs", "weights", "elements", "scores"),
    "dsp": ("macs", "weights", "joins"),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class CoreModel:
    """Time as a sum of costs.

    Attributes:
        core: Which core.
        costs: Term of `TERMS` → milliseconds per unit, none negative.
    """

    core: Core
    costs: Mapping[str, float]

    def milliseconds(self, work: Work) -> float:
        """Return the time that some work takes."""
        return sum((cost * _amount(work, term) for term, cost in self.costs.items()), 0.0)


@cache
def core_model(core: Core) -> CoreModel:
    """Return the model fitted to all published latencies of a core."""
    return fit(core, points(core))


def fit(core: Core, measured: Sequence[Point]) -> CoreModel:
    """Return the costs with the least sum of squared relative errors; none is negative."""
    terms = TERMS[core]
    rows = np.array([[_amount(p.work, term) / p.milliseconds for term in terms] for p in measured])
    costs = non_negative(rows, np.ones(len(measured)))
    return CoreModel(core, MappingProxyType(dict(zip(terms, costs.tolist(), strict=True))))


def non_negative(rows: _Array, wanted: _Array) -> _Array:
    """Return the x ≥ 0 with the smallest |rows · x − wanted|².

    The minimum has some terms at zero and is an ordinary least-squares solution of the others, so
    with a handful of terms every subset is tried.
    """
    count = rows.shape[1]
    best, least = np.zeros(count), float(wanted @ wanted)
    for size in range(1, count + 1):
        for chosen in combinations(range(count), size):
            columns = list(chosen)
            found = np.linalg.lstsq(rows[:, columns], wanted, rcond=None)[0]
            error = float(np.sum((rows[:, columns] @ found - wanted) ** 2))
            if (found >= 0).all() and error < least - 1e-12:
                best, least = np.zeros(count), error
                best[columns] = found
    return best


def _amount(work: Work, term: str) -> float:
    return float(getattr(work, term))
