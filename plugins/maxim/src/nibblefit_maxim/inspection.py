"""The support and fit table of a float network: every layer, as what it runs, or why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nibblefit.errors import RecipeError
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.results import Finding, Report, Status, Table
from nibblefit_maxim.fusing.fuser import fuse
from nibblefit_maxim.fusing.network import FusedNetwork
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.planner import try_plan
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import Part
from nibblefit_maxim.preparation import layer_needs
from nibblefit_maxim.settings import layer_settings


def inspect_graph(
    graph: Graph,
    part: Part,
    options: MaximOptions,
    overrides: Mapping[str, Mapping[str, Any]],
) -> Report:
    """Return one finding per layer and, if all are supported, the memory plan.

    Args:
        graph: Float graph.
        part: The device.
        options: The target's options.
        overrides: Per-layer settings of the recipe.
    """
    fused = fuse(graph, part, wide_output=options.wide_output)
    refused = {refusal.layer for refusal in fused.refusals}
    findings = [
        Finding(
            "maxim.layer", Status.PASSED, f"'{layer.name}' runs as {layer.describe()}", layer.name
        )
        for layer in fused.layers
        if layer.name not in refused
    ]
    findings += [
        Finding("maxim.layer", Status.FAILED, f"'{r.layer}': {r.reason}", r.layer, r.hint)
        for r in fused.refusals
    ]
    tables = [_layer_table(fused)]
    metrics: dict[str, float] = {"layers": len(fused.layers)}
    if not fused.refusals:
        needs, problems = _needs(fused, options, overrides)
        findings += problems
        plan, shortages = try_plan(needs, part, fused.input)
        findings += [shortage.finding() for shortage in shortages]
        if plan is not None:
            tables.append(plan.table())
            metrics = plan.metrics()
    return Report(
        f"inspection for {part.title}", frozen_mapping(metrics), tuple(findings), tuple(tables)
    )


def _needs(
    fused: FusedNetwork, options: MaximOptions, overrides: Mapping[str, Mapping[str, Any]]
) -> tuple[list[LayerNeeds], list[Finding]]:
    findings = []
    try:
        settings = layer_settings(fused, options, overrides)
    except RecipeError as error:
        settings = layer_settings(fused, options, {})
        findings = [
            Finding("maxim.settings", Status.FAILED, problem, "quantize.layers", error.hint)
            for problem in error.problems
        ]
    return layer_needs(fused, settings), findings


def _layer_table(fused: FusedNetwork) -> Table:
    columns = ("layer", "runs as", "input", "output", "network layers")
    rows = tuple(
        (
            layer.name,
            layer.describe(),
            _times(layer.input_shape),
            _times(layer.output_shape),
            ", ".join(layer.sources),
        )
        for layer in fused.layers
    )
    return Table("Hardware layers", columns, rows)


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(str(size) for size in shape)
