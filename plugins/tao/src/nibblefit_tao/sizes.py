"""How large a network is, said without double meanings.

A training checkpoint holds the optimizer's state beside the weights, which is why TAO's unpruned
files look twice as large as the network is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nibblefit.ir.graph import Graph
from nibblefit.ir.macs import graph_macs
from nibblefit.nn.names import trainable

_BYTES = 4
MIB = 2**20
#: Numbers that an optimizer keeps for every trained parameter.
STATES: Mapping[str, int] = {"sgd": 1, "adam": 2, "adamw": 2}


@dataclass(frozen=True, slots=True)
class Size:
    """Size of a float network.

    Attributes:
        parameters: All constants, statistics of batch norm included, as TAO counts.
        trained: Those that an optimizer changes.
        macs: Multiply-accumulates for one input.
    """

    parameters: int
    trained: int
    macs: int

    @property
    def weight_bytes(self) -> int:
        """Bytes of the float32 weights alone."""
        return _BYTES * self.parameters

    @property
    def int8_bytes(self) -> int:
        """Bytes with one byte a parameter, as an INT8 engine stores them at least."""
        return self.parameters

    def checkpoint_bytes(self, optimizer: str) -> int:
        """Bytes of a training checkpoint: weights and the optimizer's state."""
        return _BYTES * (self.parameters + STATES[optimizer] * self.trained)


def size_of(graph: Graph) -> Size:
    """Return the size of a graph."""
    names = trainable(graph)
    sizes = {name: int(value.size) for name, value in graph.constants.items()}
    trained = sum(size for name, size in sizes.items() if name in names)
    return Size(sum(sizes.values()), trained, sum(graph_macs(graph).values()))


def ratio_in_words(before: Size, after: Size) -> str:
    """Return what a remaining ratio means, so that nobody reads it the other way round."""
    ratio = after.parameters / before.parameters
    return (
        f"pruning ratio {ratio:.4f}: {ratio:.1%} of the parameters remain, "
        f"{1 - ratio:.1%} are gone ({before.parameters:,} → {after.parameters:,}; "
        f"MACs {before.macs:,} → {after.macs:,})"
    )
