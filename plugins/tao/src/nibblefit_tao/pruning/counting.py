"""Sizes of a network at many thresholds at once, without cutting.

All sizes of a network are products of counts of channels, so the counts of all thresholds are laid
side by side and multiplied at once; products of the same counts are gathered first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nibblefit.ir.graph import Node, Shape
from nibblefit.ir.ops import Op
from nibblefit.pruning.classes import Ids
from nibblefit.pruning.coupling import Coupling
from nibblefit_tao.pruning.decisions import Ranking

Counts = npt.NDArray[np.int64]
#: Places of the axes in a product of sizes → the sum of the factors that stand before it.
_Terms: TypeAlias = dict[tuple[int, ...], int]
#: Operators that multiply every value of their result once.
_SCALING = frozenset({Op.SCALE_OFFSET, Op.MUL})


class Counting:
    """Counts parameters and multiply-accumulates of a coupled network.

    A size is a number, or, where an axis can lose entries, the place of that axis counted down
    from -1.

    Args:
        coupling: The network.
        rankings: Its groups.
    """

    def __init__(self, coupling: Coupling, rankings: Sequence[Ranking]) -> None:
        self._rankings = rankings
        self._axes: list[_Axis] = []
        self._known: dict[int, int] = {}
        self._sizes = self._all_sizes(coupling, _Places(rankings))
        self._parameters = _gathered(self._sizes[name] for name in coupling.graph.constants)
        self._macs = _gathered(self._factors(node) for node in coupling.graph.nodes)

    def at(self, thresholds: npt.NDArray[np.float64]) -> tuple[Counts, Counts]:
        """Return parameters and multiply-accumulates for one input at each threshold."""
        kept = [ranking.kept_counts(thresholds) for ranking in self._rankings]
        counts = [axis.counts(kept, len(thresholds)) for axis in self._axes]
        return (_summed(self._parameters, counts, len(thresholds)),
                _summed(self._macs, counts, len(thresholds)))  # fmt: skip

    def whole(self) -> tuple[int, int]:
        """Return parameters and multiply-accumulates of the unpruned network."""
        counts = [np.array([axis.length]) for axis in self._axes]
        return int(_summed(self._parameters, counts, 1)[0]), int(_summed(self._macs, counts, 1)[0])

    def _all_sizes(self, coupling: Coupling, places: _Places) -> Mapping[str, list[int]]:
        shapes: dict[str, Shape] = {n: v.shape for n, v in coupling.graph.constants.items()}
        shapes |= coupling.graph.shapes
        sizes = {name: [int(size) for size in shape] for name, shape in shapes.items()}
        for (name, axis), ids in coupling.slots.items():
            sizes[name][axis] = self._place(ids, places)
        for name, channels in coupling.tensors.items():
            sizes[name][channels.axis] = self._place(channels.ids, places)
        return sizes

    def _place(self, ids: Ids, places: _Places) -> int:
        """Return the axis with these classes as a size; arrays are shared, and counted once."""
        if id(ids) not in self._known:
            self._axes.append(places.axis(ids))
            self._known[id(ids)] = -len(self._axes)
        return self._known[id(ids)]

    def _factors(self, node: Node) -> list[int]:
        """Return the factors of what `nibblefit.ir.macs.macs_of` counts."""
        sizes, made = self._sizes, self._sizes[node.output]
        if node.op is Op.CONV:
            return [*made, *sizes[node.inputs[1]][1:]]
        if node.op is Op.CONV_TRANSPOSE:
            return [*sizes[node.inputs[0]], *sizes[node.inputs[1]][1:]]
        if node.op is Op.LINEAR:
            return [*made, sizes[node.inputs[1]][-1]]
        if node.op is Op.MATMUL:
            return [*made, sizes[node.inputs[0]][-1]]
        return made if node.op in _SCALING else [0]


class _Axis:
    """An axis: how many entries always stay, and the ranks of the others in their groups."""

    def __init__(self, length: int, ranks: Sequence[tuple[int, Ids]]) -> None:
        self.length = length
        self._ranks = ranks
        self._always = length - sum(len(found) for _, found in ranks)

    def counts(self, kept: Sequence[Counts], points: int) -> Counts:
        """Return how many entries stay, if `kept` classes of each group do."""
        total = np.full(points, self._always, dtype=np.int64)
        for group, ranks in self._ranks:
            total += np.searchsorted(ranks, kept[group], side="left")
        return total


class _Places:
    """For every class its group and its rank there."""

    def __init__(self, rankings: Sequence[Ranking]) -> None:
        largest = max((int(r.group.classes[-1]) for r in rankings), default=-1)
        # The last entry stands for all classes of no group.
        self._groups = np.full(largest + 2, -1, dtype=np.int64)
        self._ranks = np.zeros(largest + 2, dtype=np.int64)
        for index, ranking in enumerate(rankings):
            self._groups[ranking.group.classes] = index
            ordered = ranking.group.classes[ranking.order]
            self._ranks[ordered] = np.arange(len(ordered))

    def axis(self, ids: Ids) -> _Axis:
        """Return the axis whose entries have these classes."""
        inside = np.minimum(ids, len(self._groups) - 1)
        owners = self._groups[inside]
        present = np.unique(owners[owners >= 0]).tolist()
        return _Axis(len(ids), [(one, np.sort(self._ranks[inside[owners == one]]))
                                for one in present])  # fmt: skip


def _gathered(products: Iterable[Sequence[int]]) -> _Terms:
    terms: _Terms = {}
    for sizes in products:
        factor = prod(size for size in sizes if size >= 0)
        places = tuple(sorted(-size - 1 for size in sizes if size < 0))
        terms[places] = terms.get(places, 0) + factor
    return terms


def _summed(terms: _Terms, counts: Sequence[Counts], points: int) -> Counts:
    """Return the sum of all products at each of some points."""
    total = np.zeros(points, dtype=np.int64)
    for places, factor in terms.items():
        product = np.full(points, factor, dtype=np.int64)
        for place in places:
            product *= counts[place]
        total += product
    return total
