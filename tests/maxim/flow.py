"""The plugin's stages outside of a run: from a float graph to integers, codes and files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from nibblefit.fixed.quantize import quantize
from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit_maxim.folding import fold_model
from nibblefit_maxim.fusing.fuser import fuse_for
from nibblefit_maxim.fusing.network import FusedNetwork
from nibblefit_maxim.numerics import NUMERICS
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import MAX78000, Part
from nibblefit_maxim.qat.network import QatNetwork, Simulation
from nibblefit_maxim.qat.thresholds import ThresholdMeter, choose_thresholds
from nibblefit_maxim.quantize import quantize_network
from nibblefit_maxim.settings import layer_settings


@dataclass(frozen=True)
class Quantized:
    """Everything between a float graph and its integers."""

    float_graph: Graph
    fused: FusedNetwork
    thresholds: dict[str, int]
    network: QatNetwork
    simulation: Simulation
    graph: QuantizedGraph

    def codes(self, real: np.ndarray) -> np.ndarray:
        """Return input codes of real inputs."""
        form = self.graph.tensors[self.graph.inputs[0]].format
        return quantize(real.astype(np.float64), form, NUMERICS.inputs.rounding)


def quantized(
    graph: Graph,
    inputs: np.ndarray,
    *,
    part: Part = MAX78000,
    options: MaximOptions | None = None,
    overrides: dict | None = None,
) -> Quantized:
    """Fold, fuse, measure thresholds on `inputs`, and quantize."""
    options = options or MaximOptions()
    folded = fold_model(Model(graph)).graph
    fused = fuse_for(folded, part, options).require(part.title)
    settings = layer_settings(fused, options, overrides or {})
    thresholds: dict[str, int] = {}
    if options.activation_thresholds:
        meter = ThresholdMeter(fused)
        plain = QatNetwork(folded, fused, {}, {}, quantized=False).eval()
        with torch.no_grad():
            for name, value in plain.run_layers(torch.from_numpy(inputs)).items():
                meter.add(name, value.numpy())
        thresholds = choose_thresholds(fused, meter.values(), options.outlier_deviations)
    network = QatNetwork(folded, fused, settings, thresholds).eval()
    integers = quantize_network(folded, fused, settings, thresholds, part)
    return Quantized(folded, fused, thresholds, network, Simulation(network, integers), integers)
