"""Subgraphs that the compiler is expected to make: pieces of the network on one device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nibblefit_vitis.inspection.layer import Network
from nibblefit_vitis.inspection.placing import Placement, Where


@dataclass(frozen=True, slots=True)
class Subgraph:
    """A piece of the network.

    Attributes:
        number: In order of execution, from 0, which is the user's: the inputs.
        where: Who runs it.
        layers: Names of its layers (of the inputs, for the user's).
    """

    number: int
    where: Where
    layers: tuple[str, ...]


def subgraphs(network: Network, placements: Sequence[Placement]) -> tuple[Subgraph, ...]:
    """Return the pieces, in an order in which they can run.

    Every layer gets the number of changes of device on the way to it; layers that touch, run on
    one device and have the same number are one piece. So no piece waits for its own result.
    """
    makers = network.makers()
    where = {one.layer.name: one.where for one in placements}
    changes: dict[str, int] = {}
    piece: dict[str, str] = {}
    for one in placements:
        layer = one.layer
        before = [makers[name].name for name in layer.inputs if name in makers]
        changes[layer.name] = max(
            (changes[name] + (where[name] is not one.where) for name in before), default=0
        )
        piece[layer.name] = layer.name
        for name in before:
            if where[name] is one.where and changes[name] == changes[layer.name]:
                _join(piece, name, layer.name)
    groups: dict[str, list[str]] = {}
    inputs = list(network.inputs)
    for one in placements:
        if one.where is Where.USER:
            inputs.append(one.layer.name)
        else:
            groups.setdefault(_root(piece, one.layer.name), []).append(one.layer.name)
    ordered = sorted(groups.values(), key=lambda names: changes[names[0]])
    user = Subgraph(0, Where.USER, tuple(inputs))
    return (user, *(Subgraph(number, where[names[0]], tuple(names))
                    for number, names in enumerate(ordered, 1)))  # fmt: skip


def _root(piece: dict[str, str], name: str) -> str:
    while piece[name] != name:
        piece[name] = piece[piece[name]]
        name = piece[name]
    return name


def _join(piece: dict[str, str], first: str, second: str) -> None:
    piece[_root(piece, second)] = _root(piece, first)
