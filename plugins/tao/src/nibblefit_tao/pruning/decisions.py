"""How many filters stay and which: the rule of TAO's pruner, once for each group.

With threshold t, granularity g, least number m and width n::

    k0 = number of scores > t
    k  = min(ceil(max(k0, min(m, n)) / g) · g, n)

and the k best stay, the earlier of equal ones. Source: tao_tensorflow2_backend (commit c252179a);
its order of equal scores is not defined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt

from nibblefit.errors import RecipeError, did_you_mean
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.pruning.classes import KEPT, Ids
from nibblefit.pruning.coupling import Coupling, Group
from nibblefit.pruning.cutting import Cut
from nibblefit_tao.pruning.scores import Scores, class_scores
from nibblefit_tao.pruning.settings import PruneSettings


@dataclass(frozen=True, slots=True)
class Ranking:
    """A group with everything a decision needs, for any threshold.

    Attributes:
        group: The coupled layers.
        scores: Of every class of the group.
        order: Places of the classes, best first; equal ones in their order. Classes without which
            some tensor would lose all its channels (half of a split, a branch of a
            concatenation) come before all others.
        floor: Least number of classes that stay.
        step: Classes stay in multiples of it.
        own: Threshold of its own, None for the run's.
        whole: Stays whole, and why; empty otherwise.
        needed: How many classes at the beginning of `order` stay at any threshold.
    """

    group: Group
    scores: Scores
    order: Ids
    floor: int
    step: int
    own: float | None
    whole: str
    needed: int = 0

    @property
    def lowest(self) -> float:
        """Score of the weakest class."""
        return float(self.scores.min())

    @property
    def highest(self) -> float:
        """Score of the strongest class."""
        return float(self.scores.max())

    def limit(self, threshold: float) -> float:
        """Return the threshold that holds here where the run's is `threshold`."""
        return threshold if self.own is None else self.own

    def kept_count(self, threshold: float) -> int:
        """Return how many classes stay at a threshold."""
        return int(self.kept_counts(np.array([threshold]))[0])

    def kept_counts(self, thresholds: npt.NDArray[np.float64]) -> Ids:
        """Return how many classes stay at each threshold."""
        width = len(self.scores)
        if self.whole:
            return np.full(len(thresholds), width, dtype=np.int64)
        limits = thresholds if self.own is None else np.full(len(thresholds), self.own)
        others = self.scores[self.order[self.needed :]]
        rising = np.sort(others)
        above = len(rising) - np.searchsorted(rising, limits.astype(np.float32), side="right")
        at_least = np.maximum(self.needed + above, min(self.floor, width))
        kept: Ids = np.minimum(-(-at_least // self.step) * self.step, width)
        return kept

    def removed(self, threshold: float) -> Ids:
        """Return the classes that go at a threshold, ascending."""
        gone: Ids = np.sort(self.group.classes[self.order[self.kept_count(threshold) :]])
        return gone


def rank(coupling: Coupling, settings: PruneSettings) -> tuple[Ranking, ...]:
    """Return all groups ranked.

    Raises:
        RecipeError: A layer to exclude or with its own threshold does not exist.
    """
    _check_names(coupling.graph, (*settings.excluded, *settings.thresholds))
    scores = [class_scores(coupling.graph, group, settings) for group in coupling.groups]
    needed = _needed(coupling, scores)
    return tuple(
        _ranking(coupling.graph, group, found, needed, settings)
        for group, found in zip(coupling.groups, scores, strict=True)
    )


def decide(coupling: Coupling, rankings: Sequence[Ranking], threshold: float) -> Cut:
    """Return the cut at a threshold."""
    removed = [ranking.removed(threshold) for ranking in rankings]
    return Cut(coupling, np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *removed])))


def _needed(coupling: Coupling, scores: Sequence[Scores]) -> Ids:
    """Return the best class of every tensor that holds none of its group's best ones."""
    largest = max((int(group.classes[-1]) for group in coupling.groups), default=KEPT)
    ranked = np.full(largest + 1, -np.inf, dtype=np.float32)
    needed = np.zeros(largest + 1, dtype=np.bool_)
    for group, found in zip(coupling.groups, scores, strict=True):
        ranked[group.classes] = found
        needed[group.classes[np.argmax(found)]] = True
    # Channels that only pass through are the same array in many tensors.
    for ids in {id(c.ids): c.ids for c in coupling.tensors.values()}.values():
        if np.all(ids != KEPT) and not np.any(needed[ids]):
            best = ids[ranked[ids] == ranked[ids].max()]
            needed[best.min()] = True
    return np.flatnonzero(needed)


def _ranking(graph: Graph, group: Group, scores: Scores, needed: Ids,
             settings: PruneSettings) -> Ranking:  # fmt: skip
    first = np.isin(group.classes, needed)
    # A stable order, so that a larger threshold always keeps a subset.
    order = np.lexsort((np.arange(len(scores)), -scores, ~first))
    many = max(1, max(len(m.classes) for m in group.members) // len(group.classes))
    return Ranking(
        group, scores, order,
        floor=max(1, -(-settings.min_filters // many)),
        step=max(1, settings.granularity // np.gcd(settings.granularity, many)),
        own=_own_threshold(group, settings),
        whole=_why_whole(graph, group, settings),
        needed=int(first.sum()),
    )  # fmt: skip


def _why_whole(graph: Graph, group: Group, settings: PruneSettings) -> str:
    for layer in _layers(group):
        if any(fnmatchcase(layer, pattern) for pattern in settings.excluded):
            return f"'{layer}' is excluded"
        if not settings.transposed and graph.node(layer).op is Op.CONV_TRANSPOSE:
            return f"'{layer}' is a transposed convolution, whose filters TAO never prunes"
    return ""


def _own_threshold(group: Group, settings: PruneSettings) -> float | None:
    found = []
    for layer in _layers(group):
        fitting = [t for p, t in settings.thresholds.items() if fnmatchcase(layer, p)]
        found += fitting[-1:]
    return min(found, default=None)


def _layers(group: Group) -> list[str]:
    return [layer for member in group.members for layer in member.layers]


def _check_names(graph: Graph, patterns: tuple[str, ...]) -> None:
    layers = [node.name for node in graph.nodes]
    problems = [
        f"'{pattern}' matches no layer; {did_you_mean(pattern, layers)}"
        for pattern in patterns
        if not any(fnmatchcase(layer, pattern) for layer in layers)
    ]
    if problems:
        raise RecipeError("pruning cannot be carried out", problems=problems)
