"""The start of quantization-aware training: fold batch norm, measure activation thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from nibblefit.data.source import DataSource, Split
from nibblefit.errors import RecipeError
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.models import Mask, Model
from nibblefit.run import Run
from nibblefit_maxim.fusing.fuser import fuse_for
from nibblefit_maxim.fusing.network import FusedNetwork
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import Part, part_named
from nibblefit_maxim.qat.network import QatNetwork
from nibblefit_maxim.qat.normalization import fold_for
from nibblefit_maxim.qat.phases import BITS, EXTRA, LAYERS, QAT_PHASE, THRESHOLDS
from nibblefit_maxim.qat.thresholds import ThresholdMeter, choose_thresholds
from nibblefit_maxim.settings import LayerSettings, layer_settings

_BATCH = 64


def fused_for(graph: Graph, part: Part, options: MaximOptions) -> FusedNetwork:
    """Return the hardware layers of a graph under a recipe's options.

    Raises:
        UnsupportedError: At least one layer has no counterpart; names all of them.
    """
    return fuse_for(graph, part, options).require(part.title)


def fused_of(graph: Graph, run: Run) -> FusedNetwork:
    """Return the hardware layers of a graph for the run's part.

    Raises:
        UnsupportedError: At least one layer has no counterpart; names all of them.
    """
    return fused_for(graph, part_named(run.part), run.options)


@dataclass(frozen=True, slots=True)
class Decisions:
    """What is decided at the start of quantization-aware training and kept with the model.

    Attributes:
        settings: Weight width and quantile by layer name.
        thresholds: T by tensor name.
    """

    settings: Mapping[str, LayerSettings]
    thresholds: Mapping[str, int]

    def kept_in(self, model: Model) -> Model:
        """Return the model with these decisions, as started."""
        facts: dict[str, Any] = dict(model.extra.get(EXTRA, {}))
        facts[LAYERS] = frozen_mapping(
            {name: (s.width, s.shift_quantile) for name, s in self.settings.items()}
        )
        facts[THRESHOLDS] = frozen_mapping(self.thresholds)
        extra = frozen_mapping({**model.extra, EXTRA: frozen_mapping(facts)})
        return replace(model, phase=QAT_PHASE, extra=extra)


def decisions_of(model: Model) -> Decisions | None:
    """Return the decisions a model was started with, None if it never was."""
    facts: Mapping[str, Any] = model.extra.get(EXTRA, {})
    if THRESHOLDS not in facts:
        return None
    return Decisions(
        {
            str(name): LayerSettings(shift_quantile=float(quantile)).with_width(width)
            for name, (width, quantile) in facts[LAYERS].items()
        },
        {str(name): int(value) for name, value in facts[THRESHOLDS].items()},
    )


def found_bits(model: Model) -> dict[str, int]:
    """Return the weight widths that a search chose, by layer name; empty without one."""
    facts: Mapping[str, Any] = model.extra.get(EXTRA, {})
    return {str(name): int(bits) for name, bits in facts.get(BITS, {}).items()}


@dataclass(frozen=True, slots=True)
class Starter:
    """Everything the start of quantized training depends on; can be sent to another process.

    Attributes:
        options: The target's options.
        part: Name of the device.
        overrides: ``[quantize.layers]``.
        samples: Calibration samples, the first ones of the training split of `data`.
        data: Where they come from.
    """

    options: MaximOptions
    part: str
    overrides: Mapping[str, Mapping[str, Any]]
    samples: int
    data: DataSource

    @classmethod
    def of(cls, run: Run) -> Starter:
        """Return the starter of a run."""
        section = run.recipe.quantize
        layers = {name: dict(values) for name, values in section.layers.items()}
        return cls(run.options, run.part, layers, section.calibration_samples, run.calibration_data)

    def fused(self, graph: Graph) -> FusedNetwork:
        """Return the hardware layers of a graph.

        Raises:
            UnsupportedError: At least one layer has no counterpart; names all of them.
        """
        return fused_for(graph, part_named(self.part), self.options)

    def start(self, model: Model) -> tuple[Model, Decisions]:
        """Return the model folded, and the decisions kept with it.

        A model that has been started before is returned as it is.
        """
        decisions = decisions_of(model)
        if decisions is not None:
            return model, decisions
        folded = fold_for(model, self.options.generation)
        fused = self.fused(folded.graph)
        found = self._found_widths(model)
        part = part_named(self.part)
        settings = layer_settings(fused, self.options, self.overrides, found, part=part)
        _check_masks(fused, settings, folded.masks)
        decisions = Decisions(settings, self.measure(folded.graph, fused))
        return decisions.kept_in(folded), decisions

    def _found_widths(self, model: Model) -> dict[str, int | str]:
        search = self.options.search
        found = found_bits(model)
        return {name: search.named(bits) if search else bits for name, bits in found.items()}

    def measure(self, graph: Graph, fused: FusedNetwork) -> dict[str, int]:
        """Return a threshold per tensor, from training samples; all zero without thresholds."""
        if not self.options.measures_thresholds:
            return dict.fromkeys((fused.input, *(layer.tensor for layer in fused.layers)), 0)
        network = QatNetwork(graph, fused, {}, {}, quantized=False).eval()
        meter = ThresholdMeter(fused)
        count = min(self.samples, len(self.data.split(Split.TRAIN)))
        with torch.no_grad():
            for begin in range(0, count, _BATCH):
                inputs, _ = self.data.batch(Split.TRAIN, begin, min(begin + _BATCH, count))
                for name, value in network.run_layers(torch.from_numpy(inputs)).items():
                    meter.add(name, value.numpy())
        return choose_thresholds(fused, meter.values(), self.options.outlier_deviations)


def _check_masks(
    fused: FusedNetwork, settings: Mapping[str, LayerSettings], masks: Mapping[str, Mask]
) -> None:
    binary = {name for name, one in settings.items() if one.is_binary}
    names = [x.name for x in fused.layers if x.name in binary and x.weight in masks]
    if names:
        raise RecipeError(
            f"layers {', '.join(names)} were pruned, but binary weights have no zero",
            hint="exclude them from pruning, or give them 1 bit or more",
        )


def start(run: Run, model: Model) -> tuple[Model, Decisions]:
    """Return the model ready for quantized training in this run; see `Starter.start`."""
    return Starter.of(run).start(model)
