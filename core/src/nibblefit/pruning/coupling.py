"""Which filters of which layers can only leave a network together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.pruning.classes import KEPT, Classes, Ids
from nibblefit.pruning.rules import RULES
from nibblefit.pruning.trace import Channels, Trace


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of one constant of weights.

    Attributes:
        constant: Its name.
        axis: The axis of filters.
        layers: Nodes that use it, in order.
        classes: Class of every filter.
    """

    constant: str
    axis: int
    layers: tuple[str, ...]
    classes: Ids

    @property
    def layer(self) -> str:
        """The first layer that uses the filters."""
        return self.layers[0]


@dataclass(frozen=True, slots=True)
class Group:
    """Layers whose filters are coupled, directly or over others.

    Attributes:
        members: Their filters, in graph order.
        classes: Every class of theirs that may be removed, ascending.
        stays: Whether any filter of a member has to stay.
    """

    members: tuple[Filters, ...]
    classes: Ids
    stays: bool

    @property
    def name(self) -> str:
        """The first layer's name."""
        return self.members[0].layer


@dataclass(frozen=True, slots=True)
class Coupling:
    """A graph with the classes of its channels; see `nibblefit.pruning.classes.KEPT`.

    Attributes:
        graph: The graph.
        slots: Class of every index of an axis of a constant, by constant and axis.
        tensors: Classes of every tensor's channels.
        groups: All groups with at least one class that may be removed, in graph order.
        reasons: Why channels have to stay, by node; outputs are not listed.
    """

    graph: Graph
    slots: Mapping[tuple[str, int], Ids]
    tensors: Mapping[str, Channels]
    groups: tuple[Group, ...]
    reasons: Mapping[str, str]

    def group_of(self, layer: str) -> Group:
        """Return the group that a layer's filters belong to; raises KeyError."""
        for group in self.groups:
            if any(layer in member.layers for member in group.members):
                return group
        raise KeyError(layer)


def couple(graph: Graph) -> Coupling:
    """Follow every channel of a float graph.

    Channels of the network's inputs and outputs stay, whatever stands before the output: an
    activation or a sum there protects the layers that feed it.
    """
    trace = Trace(graph)
    for node in graph.nodes:
        RULES[node.op](trace, node)
    for name in graph.outputs:
        trace.classes.keep(trace.channels(name).ids)
    of = _Once(trace.classes)
    slots = {slot: of(ids) for slot, ids in trace.slots.items()}
    tensors = {n: Channels(c.axis, of(c.ids)) for n, c in trace.tensors.items()}
    tensors |= {n: Channels(0, of(trace.channels(n).ids)) for n in graph.inputs}
    filters = [
        Filters(constant, axis, tuple(trace.users[constant]), slots[constant, axis])
        for constant, axis in trace.owners.items()
    ]
    return Coupling(graph, MappingProxyType(slots), frozen_mapping(tensors), _groups(filters),
                    frozen_mapping(trace.reasons))  # fmt: skip


class _Once:
    """Classes of arrays of ids, which many tensors and constants share: one array for each."""

    def __init__(self, classes: Classes) -> None:
        self._classes = classes
        self._found: dict[int, tuple[Ids, Ids]] = {}

    def __call__(self, ids: Ids) -> Ids:
        if id(ids) not in self._found:
            # The ids are held too, so that no other array can get their identity.
            self._found[id(ids)] = ids, self._classes.of(ids)
        return self._found[id(ids)][1]


def _groups(filters: list[Filters]) -> tuple[Group, ...]:
    """Join filters that share a class that may be removed."""
    joined = Classes()
    nodes = joined.fresh(len(filters))
    first = np.full(1 + max((int(one.classes.max(initial=KEPT)) for one in filters), default=0), -1)
    for index, one in enumerate(filters):
        own = one.classes[one.classes != KEPT]
        others = first[own]
        first[own[others < 0]] = index
        met = others[others >= 0]
        joined.join(np.full(len(met), nodes[index]), nodes[met])
    roots = joined.of(nodes)
    groups = []
    for root in dict.fromkeys(roots.tolist()):
        members = tuple(filters[i] for i in np.flatnonzero(roots == root))
        every = np.unique(np.concatenate([member.classes for member in members]))
        if np.any(every != KEPT):
            groups.append(Group(members, every[every != KEPT], bool(every[0] == KEPT)))
    return tuple(groups)
