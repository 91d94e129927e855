"""Networks and graphs of a run: the trainable module, its simulation, and the integers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.nn.network import Network
from nibblefit.run import Run
from nibblefit_maxim.numerics import DATA_FRAC
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import part_named
from nibblefit_maxim.qat.clipped import ClippedNetwork
from nibblefit_maxim.qat.network import QatNetwork, Simulation
from nibblefit_maxim.qat.normalization import fold_for
from nibblefit_maxim.qat.phases import QAT_PHASE
from nibblefit_maxim.qat.start import decisions_of, fused_for, fused_of, start
from nibblefit_maxim.quantize import quantize_network
from nibblefit_maxim.settings import LayerSettings


def network_of(run: Run, model: Model) -> nn.Module:
    """Return the trainable module: quantizing once the model has thresholds, else plain float."""
    decisions = decisions_of(model)
    options: MaximOptions = run.options
    if decisions is None and options.generation == "v1":
        return ClippedNetwork(model.graph, fused_of(model.graph, run))
    if decisions is None:
        return Network(model.graph)
    fused = fused_of(model.graph, run)
    return QatNetwork(model.graph, fused, decisions.settings, decisions.thresholds)


def quantize_model(run: Run, model: Model) -> QuantizedGraph:
    """Return the integer graph of a model.

    A model that was never trained with quantization is quantized as it is, with a warning.
    """
    if model.phase != QAT_PHASE:
        run.reporter.warn(
            "the network was not trained with quantization; its float weights are quantized as "
            "they are, and accuracy may suffer"
        )
    model, decisions = start(run, model)
    fused = fused_of(model.graph, run)
    return quantize_network(
        model.graph, fused, decisions.settings, decisions.thresholds, part_named(run.part)
    )


def simulation_of(run: Run, model: Model, graph: QuantizedGraph) -> nn.Module:
    """Return training's own execution of an integer graph.

    Codes, scales and roundings are computed from the float weights by the training code; of the
    graph only the frozen decisions are taken: formats of activations, weight widths, quantiles.
    """
    options: MaximOptions = run.options
    folded = model if decisions_of(model) else fold_for(model, options.generation)
    part = part_named(str(graph.metadata.get("part", run.part)))
    fused = fused_for(folded.graph, part, options)
    widths: Mapping[str, Any] = graph.metadata["weight_bits"]
    quantiles: Mapping[str, Any] = graph.metadata["shift_quantile"]
    binary = graph.metadata.get("binary_weights", ())
    settings = {
        name: LayerSettings(int(bits), float(quantiles[name]), name in binary)
        for name, bits in widths.items()
    }
    thresholds = {}
    for name in (fused.input, *(layer.tensor for layer in fused.layers if not layer.wide)):
        frac = graph.tensors[name].format.scale.frac
        thresholds[name] = DATA_FRAC - (frac[0] if frac else DATA_FRAC)
    return Simulation(QatNetwork(folded.graph, fused, settings, thresholds), graph)
