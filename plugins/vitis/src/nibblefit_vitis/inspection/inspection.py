"""The result of an inspection, from which texts, tables and pictures are made."""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit_vitis.devices.dpu import Dpu
from nibblefit_vitis.inspection.layer import Network
from nibblefit_vitis.inspection.partition import Subgraph, subgraphs
from nibblefit_vitis.inspection.placing import Placement, Where, place


@dataclass(frozen=True, slots=True)
class Inspection:
    """Where every layer of a network runs on a DPU.

    Attributes:
        network: The network.
        dpu: The DPU.
        placements: One per layer, in the network's order.
        subgraphs: Pieces that the compiler is expected to make; the first is the user's.
    """

    network: Network
    dpu: Dpu
    placements: tuple[Placement, ...]
    subgraphs: tuple[Subgraph, ...]

    def on(self, where: Where) -> tuple[Placement, ...]:
        """Return the layers on one device."""
        return tuple(one for one in self.placements if one.where is where)

    def pieces(self, where: Where) -> tuple[Subgraph, ...]:
        """Return the subgraphs on one device."""
        return tuple(one for one in self.subgraphs if one.where is where)

    def piece_of(self) -> dict[str, int]:
        """Map every layer to the number of its subgraph."""
        return {name: one.number for one in self.subgraphs for name in one.layers}

    @property
    def headline(self) -> str:
        """The outcome in one sentence."""
        dpu, cpu = len(self.on(Where.DPU)), len(self.on(Where.CPU))
        count = len(self.pieces(Where.DPU))
        pieces = f"{count} DPU subgraph{'s' * (count != 1)}"
        if not cpu:
            return f"all {dpu} layers run on the DPU, in {pieces}"
        return f"{dpu} layers run on the DPU, {cpu} on the CPU; {pieces}"


def inspect_network(network: Network, dpu: Dpu) -> Inspection:
    """Return where every layer of a network runs, and why. Never fails for an operator."""
    placements = place(network, dpu)
    return Inspection(network, dpu, placements, subgraphs(network, placements))
