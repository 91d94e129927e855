"""The float network of generation 1: everything stays within ±1, batch norm counts a quarter."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import ELEMENTWISE
from nibblefit.nn.execute import EXECUTE, IN_TRAINING
from nibblefit.nn.network import Network
from nibblefit_maxim.fusing.network import FusedNetwork
from nibblefit_maxim.options import BATCH_NORM_FACTOR
from nibblefit_maxim.qat.normalization import normed_layers

#: Smallest and largest value of 8-bit data whose threshold is zero.
DATA_BOUNDS = (-1.0, 127 / 128)


class ClippedNetwork(Network):
    """Executes a float graph with what every hardware layer writes clipped to 8-bit data's range.

    Nothing is rounded. Weights and `to_graph` are those of the plain network.

    Args:
        graph: Float graph, batch norm included.
        fused: Its hardware layers; 32-bit outputs are not clipped.
    """

    def __init__(self, graph: Graph, fused: FusedNetwork) -> None:
        super().__init__(graph)
        self._quartered = frozenset(normed_layers(graph))
        self._clipped = _clipped(graph, fused)

    def _run(self, inputs: Sequence[Tensor], *, keep_all: bool) -> dict[str, Tensor]:  # noqa: ARG002
        tensors = dict(zip(self.graph.inputs, self._checked(inputs), strict=True))
        for node in self.graph.nodes:
            values = [
                self.constant(name) if name in self.graph.constants else tensors[name]
                for name in node.inputs
            ]
            made: Tensor | tuple[Tensor, ...] = (
                IN_TRAINING[node.op](node.attributes, values, self.training)
                if node.op in IN_TRAINING
                else EXECUTE[node.op](node.attributes, values)
            )
            for name, value in zip(
                node.outputs, made if isinstance(made, tuple) else (made,), strict=True
            ):
                if node.name in self._quartered:
                    value = value * BATCH_NORM_FACTOR["v1"]  # noqa: PLW2901 - as it is written
                tensors[name] = value.clamp(*DATA_BOUNDS) if name in self._clipped else value
        return tensors


def _clipped(graph: Graph, fused: FusedNetwork) -> frozenset[str]:
    """Return the tensors of a float graph that the hardware writes to 8-bit memory, or sums."""
    outputs = {node.name: node.output for node in graph.nodes}
    tensors = set(outputs.values())
    found = {node.output for node in graph.nodes if node.op in ELEMENTWISE}
    for layer in fused.layers:
        if layer.has_weights and not layer.wide and layer.sources:
            written = layer.tensor if layer.tensor in tensors else outputs.get(layer.sources[-1])
            found.add(written or layer.tensor)
    return frozenset(found)
