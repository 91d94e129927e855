"""The inspect hook."""

from __future__ import annotations

from dataclasses import replace

from nibblefit.defaults.inspect import inspect as core_inspect
from nibblefit.ir.graph import Graph
from nibblefit.recipe import Recipe
from nibblefit.results import Report
from nibblefit_vitis.inspection.report import inspect_graph
from nibblefit_vitis.numerics import DPU_NUMERICS


def inspect(graph: Graph, part: str, recipe: Recipe | None) -> Report:
    """Return where every layer runs, and as failures those that have no integer form at all."""
    found = inspect_graph(graph, part, recipe)
    refused = core_inspect(graph, part, recipe, DPU_NUMERICS).failed
    return replace(found, findings=(*refused, *found.findings))
