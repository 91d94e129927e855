"""The prepare stage: everything that would stop the run later is said before training."""

from __future__ import annotations

from nibblefit.ir.graph import Graph
from nibblefit.models import Model
from nibblefit.run import Run
from nibblefit_maxim.fusing.network import FusedNetwork
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.planner import try_plan
from nibblefit_maxim.memory.shortage import BIAS_RULE, CHAIN_RULE, refuse
from nibblefit_maxim.parts import part_named
from nibblefit_maxim.qat.start import fused_of
from nibblefit_maxim.settings import LayerSettings, layer_settings

#: Shortages that only stop the writing of files, or that training may still remove.
_ONLY_WARNED = frozenset({CHAIN_RULE, BIAS_RULE})


def prepare_model(run: Run, graph: Graph) -> Model:
    """Return the network as a model, batch norm and all.

    Raises:
        UnsupportedError: The hardware lacks a layer; names all of them.
        LimitError: The network does not fit the part, whatever its weights become.
        RecipeError: Per-layer settings that match nothing, or hold bad values.
    """
    fused = fused_of(graph, run)
    settings = layer_settings(fused, run.options, run.recipe.quantize.layers)
    part = part_named(run.part)
    _, shortages = try_plan(layer_needs(fused, settings), part, fused.input)
    if any(shortage.rule not in _ONLY_WARNED for shortage in shortages):
        raise refuse(shortages, part.title)
    for shortage in shortages:
        run.reporter.warn(f"no files can be written: {shortage.line()}")
    return Model(graph=graph)


def layer_needs(fused: FusedNetwork, settings: dict[str, LayerSettings]) -> list[LayerNeeds]:
    """Return what each layer will ask of the memories, as far as it is known before training.

    Which biases are zero is not known yet, so every layer that can have one counts with it: a
    bias of its own, or the one that folding batch norm leaves behind.
    """
    return [
        LayerNeeds(
            layer,
            settings[layer.name].weight_bits if layer.name in settings else 8,
            bool(layer.bias) or layer.is_normed,
        )
        for layer in fused.layers
    ]
