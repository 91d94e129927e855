"""What every threshold would leave, without cutting: one look at the norms, then counting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nibblefit.errors import LimitError
from nibblefit.ir.graph import Graph
from nibblefit.pruning.coupling import Coupling
from nibblefit_tao.pruning.counting import Counting, Counts
from nibblefit_tao.pruning.decisions import Ranking

_BYTES = 4
#: Thresholds that one look of the search counts at: two looks find one of 16,000.
_PARTS = 129


@dataclass(frozen=True, slots=True)
class Curve:
    """Sizes of a network at rising thresholds.

    Attributes:
        thresholds: Ascending.
        parameters: All constants that stay, statistics of batch norm included, as TAO counts.
        macs: Multiply-accumulates for one input.
        whole: Parameters of the unpruned network.
        whole_macs: Its multiply-accumulates.
    """

    thresholds: npt.NDArray[np.float64]
    parameters: Counts
    macs: Counts
    whole: int
    whole_macs: int

    @property
    def ratios(self) -> npt.NDArray[np.float64]:
        """Parameters that remain, as a share: what TAO calls the pruning ratio."""
        return self.parameters / self.whole

    @property
    def weight_bytes(self) -> Counts:
        """Size of the float32 weights alone."""
        return self.parameters * _BYTES

    def columns(self) -> dict[str, list[float]]:
        """Return the curve as JSON-like columns."""
        return {
            "threshold": self.thresholds.tolist(),
            "ratio": self.ratios.round(9).tolist(),
            "parameters": self.parameters.tolist(),
            "macs": self.macs.tolist(),
            "weight_bytes": self.weight_bytes.tolist(),
        }


def curve(coupling: Coupling, rankings: Sequence[Ranking],
          thresholds: Sequence[float] | npt.NDArray[np.float64]) -> Curve:  # fmt: skip
    """Return the sizes at given thresholds, those of the networks that cutting would leave."""
    return _curve(Counting(coupling, rankings), thresholds)


def _curve(counting: Counting,
           thresholds: Sequence[float] | npt.NDArray[np.float64]) -> Curve:  # fmt: skip
    ascending = np.sort(np.asarray(thresholds, dtype=np.float64))
    return Curve(ascending, *counting.at(ascending), *counting.whole())


def steps(rankings: Sequence[Ranking]) -> npt.NDArray[np.float64]:
    """Return every threshold at which some group may change: 0 and all scores."""
    free = [ranking.scores for ranking in rankings if not ranking.whole and ranking.own is None]
    found: npt.NDArray[np.float64] = np.unique(
        np.concatenate([np.zeros(1, dtype=np.float32), *free]).astype(np.float64)
    )
    return found


def solve(coupling: Coupling, rankings: Sequence[Ranking], *, ratio: float | None = None,
          macs: int | None = None, weight_bytes: int | None = None) -> float:  # fmt: skip
    """Return the smallest threshold that leaves no more than asked for.

    Args:
        coupling: The network.
        rankings: Its groups.
        ratio: Largest share of parameters that remains.
        macs: Most multiply-accumulates.
        weight_bytes: Most bytes of float32 weights.

    Raises:
        LimitError: No threshold gets there, since the least numbers of filters and the layers
            that stay whole are reached first.
    """
    candidates = steps(rankings)
    # What stays never grows with the threshold, so every look narrows the range to a part.
    low, high = 0, len(candidates) - 1
    counting = Counting(coupling, rankings)
    found = _curve(counting, candidates[[high]])
    if not _fits(found, ratio, macs, weight_bytes)[0]:
        raise LimitError(
            f"no threshold prunes that far: {found.ratios[-1]:.3f} of the parameters, "
            f"{found.macs[-1]:,} MACs and {found.weight_bytes[-1]:,} bytes of weights remain at "
            f"the largest useful one, {found.thresholds[-1]:.4g}",
            hint="lower min_filters or granularity, exclude fewer layers, or ask for less",
        )
    while low < high:
        places = np.unique(np.linspace(low, high, _PARTS).astype(np.int64))
        looked = _curve(counting, candidates[places])
        fits = _fits(looked, ratio, macs, weight_bytes)
        first = int(np.argmax(fits))
        high = int(places[first])
        low = int(places[first - 1]) + 1 if first else high
    return float(candidates[high])


def _fits(found: Curve, ratio: float | None, macs: int | None,
          weight_bytes: int | None) -> npt.NDArray[np.bool_]:  # fmt: skip
    """Return at which thresholds no more is left than asked for."""
    fits = np.ones(len(found.thresholds), dtype=np.bool_)
    if ratio is not None:
        fits &= found.ratios <= ratio
    if macs is not None:
        fits &= found.macs <= macs
    if weight_bytes is not None:
        fits &= found.weight_bytes <= weight_bytes
    return fits


def parameters_of(graph: Graph) -> int:
    """Return the number of values in all constants of a graph."""
    return sum(int(value.size) for value in graph.constants.values())
