"""What every threshold would leave, without cutting: one look at the norms, then counting.

All sizes of a network are products of counts of channels, so the counts of all thresholds are laid
side by side and multiplied at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nibblefit.errors import LimitError
from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op
from nibblefit.pruning.classes import Ids
from nibblefit.pruning.coupling import Coupling
from nibblefit_tao.pruning.decisions import Ranking

Counts = npt.NDArray[np.int64]
_BYTES = 4
#: Thresholds that one look of the search counts at: three looks find one of 30,000.
_PARTS = 33


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


def curve(coupling: Coupling, rankings: Sequence[Ranking],
          thresholds: Sequence[float] | npt.NDArray[np.float64]) -> Curve:  # fmt: skip
    """Return the sizes at given thresholds, those of the networks that cutting would leave."""
    ascending = np.sort(np.asarray(thresholds, dtype=np.float64))
    counting = _Counting(coupling, rankings, ascending)
    whole = sum(int(value.size) for value in coupling.graph.constants.values())
    unpruned = _Counting(coupling, (), ascending[:1])
    return Curve(ascending, counting.parameters(), counting.macs(), whole,
                 int(unpruned.macs()[0]))  # fmt: skip


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
    found = curve(coupling, rankings, candidates[[high]])
    if not _fits(found, ratio, macs, weight_bytes)[0]:
        raise LimitError(
            f"no threshold prunes that far: {found.ratios[-1]:.3f} of the parameters, "
            f"{found.macs[-1]:,} MACs and {found.weight_bytes[-1]:,} bytes of weights remain at "
            f"the largest useful one, {found.thresholds[-1]:.4g}",
            hint="lower min_filters or granularity, exclude fewer layers, or ask for less",
        )
    while low < high:
        places = np.unique(np.linspace(low, high, _PARTS).astype(np.int64))
        fits = _fits(curve(coupling, rankings, candidates[places]), ratio, macs, weight_bytes)
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


class _Counting:
    """Counts of channels at every threshold, by axis of constant and by tensor."""

    def __init__(self, coupling: Coupling, rankings: Sequence[Ranking],
                 thresholds: npt.NDArray[np.float64]) -> None:  # fmt: skip
        self._coupling = coupling
        self._points = len(thresholds)
        self._places = _places(rankings)
        self._kept = np.array(
            [ranking.kept_counts(thresholds) for ranking in rankings], dtype=np.int64
        ).reshape(len(rankings), self._points)
        constants = {n: v.shape for n, v in coupling.graph.constants.items()}
        shapes = {**constants, **coupling.graph.shapes}
        self._sizes = {n: [np.int64(size) for size in shape] for n, shape in shapes.items()}
        for (name, axis), ids in coupling.slots.items():
            self._sizes[name][axis] = self._count(ids)  # type: ignore[call-overload]
        for name, channels in coupling.tensors.items():
            self._sizes[name][channels.axis] = self._count(channels.ids)  # type: ignore[call-overload]

    def parameters(self) -> Counts:
        """Return the number of values in all constants."""
        return self._sum(self._coupling.graph.constants)

    def macs(self) -> Counts:
        """Return multiply-accumulates of all nodes."""
        total = np.zeros(self._points, dtype=np.int64)
        for node in self._coupling.graph.nodes:
            total = total + self._node_macs(node)
        return total

    def _sum(self, names: Mapping[str, object]) -> Counts:
        total = np.zeros(self._points, dtype=np.int64)
        for name in names:
            total = total + self._product(name)
        return total

    def _product(self, name: str, first: int = 0) -> Counts:
        result = np.ones(self._points, dtype=np.int64)
        for size in self._sizes[name][first:]:
            result = result * size
        return result

    def _node_macs(self, node: Node) -> Counts:
        """Return what `nibblefit.ir.macs.macs_of` counts, at every threshold."""
        if node.op is Op.CONV:
            return self._product(node.output) * self._product(node.inputs[1], 1)
        if node.op is Op.CONV_TRANSPOSE:
            return self._product(node.inputs[0]) * self._product(node.inputs[1], 1)
        if node.op is Op.LINEAR:
            return self._product(node.output) * self._sizes[node.inputs[1]][-1]
        if node.op is Op.MATMUL:
            return self._product(node.output) * self._sizes[node.inputs[0]][-1]
        if node.op in (Op.SCALE_OFFSET, Op.MUL):
            return self._product(node.output)
        return np.zeros(self._points, dtype=np.int64)

    def _count(self, ids: Ids) -> Counts:
        """Return how many entries of an axis stay at every threshold."""
        groups, places = self._places
        if not len(groups):
            return np.full(self._points, len(ids), dtype=np.int64)
        inside = np.minimum(ids, len(groups) - 1)
        owner = np.where(ids < len(groups), groups[inside], -1)
        total = np.full(self._points, int(np.count_nonzero(owner < 0)), dtype=np.int64)
        for group in np.unique(owner[owner >= 0]).tolist():
            ranks = np.sort(places[inside[owner == group]])
            total += np.searchsorted(ranks, self._kept[group], side="left")
        return total


def _places(rankings: Sequence[Ranking]) -> tuple[Ids, Ids]:
    """Return for every class its group and its rank there; -1 for classes of none."""
    largest = max((int(r.group.classes[-1]) for r in rankings), default=-1)
    groups = np.full(largest + 1, -1, dtype=np.int64)
    places = np.zeros(largest + 1, dtype=np.int64)
    for index, ranking in enumerate(rankings):
        groups[ranking.group.classes] = index
        places[ranking.group.classes[ranking.order]] = np.arange(len(ranking.order))
    return groups, places


def parameters_of(graph: Graph) -> int:
    """Return the number of values in all constants of a graph."""
    return sum(int(value.size) for value in graph.constants.values())
