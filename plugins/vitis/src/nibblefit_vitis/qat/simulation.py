"""What quantized training computed, as integers, to be compared with the quantized graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit_vitis.formats import FixPosition
from nibblefit_vitis.options import Direction
from nibblefit_vitis.qat.keeping import thresholds_of
from nibblefit_vitis.qat.network import QatNetwork
from nibblefit_vitis.settings import NetworkSetting


class QatSimulation(nn.Module):
    """Maps integer-coded inputs to the codes of every tensor that training rounded.

    Arithmetic is float64, exact for sums of up to 2**53 steps.

    Args:
        network: The trained network.
    """

    def __init__(self, network: QatNetwork) -> None:
        super().__init__()
        self._network = network.double().eval()

    def forward(self, codes: Tensor) -> dict[str, Tensor]:
        """Return codes (int64) by tensor, for int64 codes of the network's only input."""
        outputs = self._network.formats().outputs
        (name,) = self._network.graph.inputs
        given = outputs[name]
        assert isinstance(given, FixPosition)
        with torch.no_grad():
            values = self._network.forward_all(codes.double() * 2.0**-given.position)
        found = {}
        for tensor, carrier in self._network.coded().items():
            fmt = outputs.get(carrier)
            if isinstance(fmt, FixPosition):
                found[tensor] = (values[tensor] * 2.0**fmt.position).long()
        return found


def simulation_of(model: Model, graph: QuantizedGraph, setting: NetworkSetting, *,
                  direction: Direction = "output") -> QatSimulation | None:  # fmt: skip
    """Return the simulation of a model that was trained quantized, None for others."""
    thresholds = thresholds_of(model)
    if not thresholds or len(graph.inputs) != 1:
        return None
    return QatSimulation(QatNetwork(model.graph, setting, thresholds, direction=direction))
