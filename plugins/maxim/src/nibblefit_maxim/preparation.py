"""The prepare stage: everything that would stop the run later is said before training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nibblefit.data.source import Split
from nibblefit.defaults.prune import check_prune_layers
from nibblefit.errors import RecipeError
from nibblefit.ir.graph import Graph
from nibblefit.models import Model
from nibblefit.run import Run
from nibblefit_maxim.fusing.approximation import approximated, effect
from nibblefit_maxim.fusing.network import FusedNetwork
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.planner import try_plan
from nibblefit_maxim.memory.shortage import BIAS_RULE, SHAPE_RULE, refuse
from nibblefit_maxim.options import MaximOptions, SearchOptions
from nibblefit_maxim.parts import part_named
from nibblefit_maxim.qat.advice import training_advice
from nibblefit_maxim.qat.start import fused_of
from nibblefit_maxim.settings import LayerSettings, binary_problems, layer_settings, matches

#: Shortages that only stop the writing of files, or that training may still remove.
_ONLY_WARNED = frozenset({SHAPE_RULE, BIAS_RULE})

#: Samples on which an approximation is compared with the network it replaces.
_COMPARED = 32


def prepare_model(run: Run, graph: Graph) -> Model:
    """Return the network as a model, batch norm and all.

    Raises:
        UnsupportedError: The hardware lacks a layer; names all of them.
        LimitError: The network does not fit the part, whatever its weights become.
        RecipeError: Settings of single layers that match nothing, or hold bad values.
    """
    check_prune_layers(graph, run.recipe.prune.layers)
    graph = _approximated(run, graph)
    fused = fused_of(graph, run)
    options: MaximOptions = run.options
    part = part_named(run.part)
    settings = layer_settings(fused, options, run.recipe.quantize.layers, part=part)
    if options.search is not None:
        settings = narrowest(settings, options.search, run.recipe.quantize.layers)
        problems = binary_problems(fused, settings, part)
        if problems:
            raise RecipeError("target.search cannot use these widths", problems=problems)
    for advice in training_advice(fused):
        run.reporter.warn(advice)
    kept = [out.tensor for out in fused.outputs]
    _, shortages = try_plan(layer_needs(fused, settings), part, fused.input, kept)
    if any(shortage.rule not in _ONLY_WARNED for shortage in shortages):
        raise refuse(shortages, part.title)
    for shortage in shortages:
        run.reporter.warn(f"no files can be written: {shortage.line()}")
    return Model(graph=graph)


def _approximated(run: Run, graph: Graph) -> Graph:
    """Return the graph with the approximations that the recipe allows, and say what they do."""
    options: MaximOptions = run.options
    changed = approximated(graph, options.approximations)
    if changed is not graph:
        count = min(_COMPARED, len(run.data.split(Split.TRAIN)))
        inputs, _ = run.data.batch(Split.TRAIN, 0, count)
        run.reporter.warn(effect(graph, changed, inputs).line())
    return changed


def narrowest(
    settings: Mapping[str, LayerSettings],
    search: SearchOptions,
    overrides: Mapping[str, Mapping[str, Any]],
) -> dict[str, LayerSettings]:
    """Return the settings with the fewest bits that a search could still find."""
    fixed = [pattern for pattern, values in overrides.items() if "weight_bits" in values]
    return {
        name: one
        if any(matches(name, pattern) for pattern in fixed)
        else one.with_width(search.bits[-1])
        for name, one in settings.items()
    }


def layer_needs(fused: FusedNetwork, settings: Mapping[str, LayerSettings]) -> list[LayerNeeds]:
    """Return what each layer will ask of the memories, as far as it is known before training.

    Which biases are zero is not known yet, so every layer that can have one counts with it: a
    bias of its own, or the one that folding batch norm leaves behind.
    """
    return [
        LayerNeeds(
            layer,
            settings[layer.name].weight_bits if layer.name in settings else layer.identity_bits,
            bool(layer.bias) or layer.is_normed,
        )
        for layer in fused.layers
    ]
