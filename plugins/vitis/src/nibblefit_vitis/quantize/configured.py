"""From a recipe to what is asked for every tensor of a network."""

from __future__ import annotations

from pathlib import Path

from nibblefit.ir.graph import Graph
from nibblefit.recipe import Recipe
from nibblefit_vitis.configuration.recipe_tables import configuration_of
from nibblefit_vitis.configuration.resolve import resolve
from nibblefit_vitis.options import VitisOptions
from nibblefit_vitis.settings import NetworkSetting


def setting_of(
    recipe: Recipe, options: VitisOptions, graph: Graph
) -> tuple[NetworkSetting, tuple[str, ...]]:
    """Return the merged settings of a network, and what there is to say about them.

    Raises:
        InputError: The configuration cannot be read or has problems.
    """
    target = options.model_dump(include={"configuration", "settings", "parity"})
    configuration = configuration_of(target, recipe.quantize.layers, Path(recipe.folder))
    return resolve(configuration, graph, parity=options.parity)
