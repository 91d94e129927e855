"""Core's preparation: refuse what the target cannot run, change nothing else."""

from __future__ import annotations

from nibblefit.defaults.prune import check_prune_layers
from nibblefit.ir.graph import Graph
from nibblefit.ir.numerics import Numerics
from nibblefit.models import Model
from nibblefit.quantization.support import refuse_unsupported
from nibblefit.run import Run


def prepare(run: Run, graph: Graph, numerics: Numerics) -> Model:
    """Return the network as a model, batch norm and all; folding is left to quantization.

    Raises:
        UnsupportedError: Lists every layer the target cannot run, with reason and remedy.
        RecipeError: ``[prune.layers]`` names a layer that is not there.
    """
    check_prune_layers(graph, run.recipe.prune.layers)
    refuse_unsupported(graph, numerics, run.recipe.target.name)
    return Model(graph)
