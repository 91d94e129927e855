"""The start of quantization-aware training: fold batch norm, measure activation thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from nibblefit.data.source import Split
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.models import Model
from nibblefit.run import Run
from nibblefit_maxim.folding import fold_model
from nibblefit_maxim.fusing.fuser import fuse
from nibblefit_maxim.fusing.network import FusedNetwork
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import part_named
from nibblefit_maxim.qat.network import QatNetwork
from nibblefit_maxim.qat.phases import EXTRA, QAT_PHASE
from nibblefit_maxim.qat.thresholds import ThresholdMeter, choose_thresholds
from nibblefit_maxim.settings import LayerSettings, layer_settings

_BATCH = 64


def fused_of(graph: Graph, run: Run) -> FusedNetwork:
    """Return the hardware layers of a graph for the run's part.

    Raises:
        UnsupportedError: At least one layer has no counterpart; names all of them.
    """
    options: MaximOptions = run.options
    part = part_named(run.part)
    return fuse(graph, part, wide_output=options.wide_output).require(part.title)


@dataclass(frozen=True, slots=True)
class Decisions:
    """What is decided at the start of quantization-aware training and kept with the model.

    Attributes:
        settings: Weight width and quantile by layer name.
        thresholds: T by tensor name.
    """

    settings: Mapping[str, LayerSettings]
    thresholds: Mapping[str, int]


def decisions_of(model: Model) -> Decisions | None:
    """Return the decisions a model was started with, None if it never was."""
    facts: Mapping[str, Any] = model.extra.get(EXTRA, {})
    if "thresholds" not in facts:
        return None
    return Decisions(
        {
            str(name): LayerSettings(int(bits), float(quantile))
            for name, (bits, quantile) in facts["layers"].items()
        },
        {str(name): int(value) for name, value in facts["thresholds"].items()},
    )


def start(run: Run, model: Model) -> tuple[Model, Decisions]:
    """Return the model folded, and the decisions kept with it.

    A model that has been started before is returned as it is.
    """
    decisions = decisions_of(model)
    if decisions is not None:
        return model, decisions
    folded = fold_model(model)
    fused = fused_of(folded.graph, run)
    settings = layer_settings(fused, run.options, run.recipe.quantize.layers)
    thresholds = measure(run, folded.graph, fused)
    facts = {
        "layers": frozen_mapping(
            {name: (s.weight_bits, s.shift_quantile) for name, s in settings.items()}
        ),
        "thresholds": frozen_mapping(thresholds),
    }
    extra = frozen_mapping({**model.extra, EXTRA: frozen_mapping(facts)})
    started = replace(folded, phase=QAT_PHASE, extra=extra)
    return started, Decisions(settings, thresholds)


def measure(run: Run, graph: Graph, fused: FusedNetwork) -> dict[str, int]:
    """Return a threshold per tensor, from training samples; all zero if the recipe says so."""
    options: MaximOptions = run.options
    if not options.activation_thresholds:
        return dict.fromkeys((fused.input, *(layer.tensor for layer in fused.layers)), 0)
    network = QatNetwork(graph, fused, {}, {}, quantized=False).eval()
    meter = ThresholdMeter(fused)
    count = min(run.recipe.quantize.calibration_samples, len(run.data.split(Split.TRAIN)))
    with torch.no_grad():
        for begin in range(0, count, _BATCH):
            inputs, _ = run.data.batch(Split.TRAIN, begin, min(begin + _BATCH, count))
            for name, value in network.run_layers(torch.from_numpy(inputs)).items():
                meter.add(name, value.numpy())
    return choose_thresholds(fused, meter.values(), options.outlier_deviations)
