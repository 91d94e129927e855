"""The state of following channels through a graph: which axis of a tensor carries which ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from nibblefit.ir.graph import Graph, Node, Shape
from nibblefit.pruning.classes import KEPT, Classes, Ids


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels of a tensor.

    Attributes:
        axis: Axis of the batch-free shape along which channels can leave.
        ids: Id of the channel at every index of that axis.
    """

    axis: int
    ids: Ids


@dataclass(slots=True)
class Trace:
    """What is known so far.

    Attributes:
        graph: The graph.
        classes: Ids and their classes.
        tensors: Channels of every tensor visited.
        slots: Ids along an axis of a constant: what is cut with the channels.
        owners: Constant of weights → its axis of filters: who makes channels or scales them.
        users: Constant of weights → the nodes that use it.
        reasons: Why a tensor's channels have to stay, by node.
    """

    graph: Graph
    classes: Classes = field(default_factory=Classes)
    tensors: dict[str, Channels] = field(default_factory=dict)
    slots: dict[tuple[str, int], Ids] = field(default_factory=dict)
    owners: dict[str, int] = field(default_factory=dict)
    users: dict[str, list[str]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def channels(self, name: str) -> Channels:
        """Return a tensor's channels; those of inputs and of all others never seen stay."""
        return self.tensors.get(name) or fixed(self.graph.shapes[name])

    def bind(self, constant: str, axis: int, ids: Ids) -> Ids:
        """Tie an axis of a constant to channels; shared constants tie what they meet."""
        known = self.slots.setdefault((constant, axis), ids)
        if known is not ids:
            self.classes.join(known, ids)
        return known

    def own(self, constant: str, axis: int, node: Node) -> None:
        """Note whose filters a constant holds."""
        self.owners[constant] = axis
        self.users.setdefault(constant, []).append(node.name)

    def stay(self, name: str, node: Node, why: str) -> None:
        """Let all channels of a tensor stay, because of a node."""
        channels = self.channels(name)
        if np.any(self.classes.of(channels.ids) != KEPT):
            self.reasons.setdefault(node.name, why)
        self.classes.keep(channels.ids)


#: Follows the channels of one node: sets those of its outputs.
Rule = Callable[[Trace, Node], None]


def fixed(shape: Shape) -> Channels:
    """Return channels of which none can leave."""
    return Channels(0, np.zeros(shape[0] if shape else 1, dtype=np.int64))
