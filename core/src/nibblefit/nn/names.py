"""Names in a graph: how they are kept unique, and what a constant's name says about training.

Every name lives in one space: inputs, nodes, tensors and constants. A second use of a name gets
``@2``. Constants carry their path in the state dict; one whose name ends in ``:fixed`` is never
trained (a buffer, a number in the code, a frozen parameter), any other one is, unless it holds
the running statistics of a batch norm.
"""

from __future__ import annotations

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op

FIXED = ":fixed"


class Names:
    """The names already given away in one graph."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def claim(self, wanted: str) -> str:
        """Return `wanted`, or the first free ``wanted@N``, and reserve it."""
        name, use = wanted, 1
        while name in self._taken:
            use += 1
            name = f"{wanted}@{use}"
        self._taken.add(name)
        return name


def statistics(graph: Graph) -> frozenset[str]:
    """Return the constants that hold running means and variances."""
    return frozenset(
        name for node in graph.nodes if node.op is Op.BATCH_NORM for name in node.inputs[3:5]
    )


def trainable(graph: Graph) -> frozenset[str]:
    """Return the constants that an optimizer may change."""
    fixed = statistics(graph)
    return frozenset(
        name for name in graph.constants if name not in fixed and not name.endswith(FIXED)
    )
