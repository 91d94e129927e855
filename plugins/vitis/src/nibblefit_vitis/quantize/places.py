"""Which entry of the calibrated formats holds for a tensor.

Calibration states one format per group of operators, at its end. Tensors inside a group, tensors
that only a concatenation reads, and what merely moves values have no entry of their own.
"""

from __future__ import annotations

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import MOVERS, Op
from nibblefit_vitis.formats import NetworkFormats
from nibblefit_vitis.grouping import KEEPING

#: Operators that pass their input's format on where they have none of their own.
KEEPERS = MOVERS | {
    Op.RELU, Op.CLIP, Op.LEAKY_RELU, Op.PRELU, Op.ABS, Op.IDENTITY, Op.PAD, Op.RESIZE_BILINEAR,
}  # fmt: skip


class Places:
    """Finds the owner of a tensor's format.

    Args:
        graph: Float graph.
        formats: What calibration found.
    """

    def __init__(self, graph: Graph, formats: NetworkFormats) -> None:
        self._formats, self._ends = formats.outputs, frozenset(graph.outputs)
        self._producers, self._consumers = graph.producers(), graph.consumers()

    def owner(self, tensor: str) -> str | None:
        """Return the tensor whose entry in ``formats.outputs`` holds; None if there is none."""
        return self._search(tensor, frozenset())

    def _search(self, tensor: str, seen: frozenset[str]) -> str | None:
        if tensor in seen:
            return None
        if self._formats.get(tensor) is not None:
            return tensor
        seen |= {tensor}
        ways = [self._before(tensor), self._behind(tensor)]
        producer = self._producers.get(tensor)
        if tensor in self._formats or (producer is not None and producer.op not in KEEPING):
            # Stated to have none, or made by an operator that starts a group: its reader decides.
            ways.reverse()
        found = (self._search(way, seen) for way in ways if way is not None)
        return next((owner for owner in found if owner is not None), None)

    def _before(self, tensor: str) -> str | None:
        producer = self._producers.get(tensor)
        return producer.inputs[0] if producer is not None and producer.op in KEEPERS else None

    def _behind(self, tensor: str) -> str | None:
        readers = self._consumers[tensor]
        if len(readers) != 1 or tensor in self._ends:
            return None
        follows = readers[0].op in KEEPERS or readers[0].op is Op.CONCAT
        return readers[0].output if follows else None
