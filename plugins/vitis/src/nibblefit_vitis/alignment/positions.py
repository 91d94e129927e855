"""Fix positions while they are being moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit_vitis.formats import FixPosition, NetworkFormats, TensorFormat
from nibblefit_vitis.quantize.places import Places


@dataclass(frozen=True, slots=True)
class Change:
    """One fix position that was moved.

    Attributes:
        tensor: Whose it is.
        old: Before.
        new: After; smaller is coarser.
        rule: Which rule asked for it, in words.
        layer: The layer whose shift was out of range.
    """

    tensor: str
    old: int
    new: int
    rule: str
    layer: str

    def __str__(self) -> str:
        return (f"fix position of '{self.tensor}' {self.old} → {self.new}: {self.rule} "
                f"('{self.layer}')")  # fmt: skip


class Table(StrEnum):
    """Parts of `NetworkFormats`."""

    PARAMS = "params"
    OUTPUTS = "outputs"
    INPUTS = "inputs"


#: A fix position: which part, and its name there.
Place = tuple[Table, str]


class Positions:
    """All fix positions of a network; tensors that have none are answered with None.

    Args:
        graph: Float graph.
        formats: Formats to start from.
    """

    def __init__(self, graph: Graph, formats: NetworkFormats) -> None:
        self.graph, self._formats = graph, formats
        self._places = Places(graph, formats)
        self._consumers = graph.consumers()
        self._now = {
            (table, name): found.position
            for table in Table
            for name, found in self._table(table).items()
            if isinstance(found, FixPosition) and not found.positions
        }
        self.changes: list[Change] = []

    def __getitem__(self, place: Place) -> int:
        return self._now[place]

    def operand(self, node: Node, index: int = 0) -> Place | None:
        """Return where the position of one of a node's inputs stands."""
        name = node.inputs[index]
        if name in self.graph.constants:
            return self._known((Table.PARAMS, name))
        if index == 0 and (Table.INPUTS, node.name) in self._now:
            return Table.INPUTS, node.name
        owner = self._places.owner(name)
        return None if owner is None else self._known((Table.OUTPUTS, owner))

    def result(self, node: Node) -> Place | None:
        """Return where the position of a node's output stands: at the end of its group."""
        owner = self._places.owner(node.output)
        return None if owner is None else self._known((Table.OUTPUTS, owner))

    def follower(self, node: Node) -> Node | None:
        """Return the only reader of a node's output."""
        readers = self._consumers[node.output]
        return readers[0] if len(readers) == 1 else None

    def move(self, place: Place, new: int, rule: str, node: Node) -> None:
        """Set a position, and note it if it is another one."""
        old = self._now[place]
        if new != old:
            self._now[place] = new
            self.changes.append(Change(place[1], old, new, rule, node.name))

    def formats(self) -> NetworkFormats:
        """Return the formats with the positions as they are now."""
        return replace(
            self._formats, params=self._moved(Table.PARAMS), outputs=self._moved(Table.OUTPUTS),
            inputs=self._moved(Table.INPUTS),
        )  # fmt: skip

    def _known(self, place: Place) -> Place | None:
        return place if place in self._now else None

    def _table(self, table: Table) -> Mapping[str, TensorFormat | None]:
        found: Mapping[str, TensorFormat | None] = getattr(self._formats, table.value)
        return found

    def _moved(self, table: Table) -> Mapping[str, TensorFormat | None]:
        return frozen_mapping(
            (name, replace(found, position=self._now[table, name])
             if isinstance(found, FixPosition) and (table, name) in self._now else found)
            for name, found in self._table(table).items()
        )  # fmt: skip
