"""The support and fit table of a float network: every layer, as what it runs, or why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nibblefit.errors import RecipeError
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.results import Finding, Report, Status, Table
from nibblefit_maxim.fusing.fuser import fuse_for
from nibblefit_maxim.fusing.network import FusedNetwork
from nibblefit_maxim.layers import HardwareLayer
from nibblefit_maxim.memory.figures import bias_table, data_table, fit_report, instance_bytes
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.plan import MemoryPlan
from nibblefit_maxim.memory.planner import try_plan
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import PROCESSORS_PER_QUADRANT, Part
from nibblefit_maxim.preparation import layer_needs
from nibblefit_maxim.settings import layer_settings


def inspect_graph(
    graph: Graph,
    part: Part,
    options: MaximOptions,
    overrides: Mapping[str, Mapping[str, Any]],
) -> Report:
    """Return one finding per layer and, if all are supported, how the network fits the memories.

    Args:
        graph: Float graph.
        part: The device.
        options: The target's options.
        overrides: Per-layer settings of the recipe.
    """
    fused = fuse_for(graph, part, options)
    findings = _layer_findings(fused)
    tables = [_layer_table(fused)]
    metrics: dict[str, float] = {"layers": len(fused.layers)}
    arrays: dict[str, Any] = {}
    if not fused.refusals:
        needs, problems = _needs(fused, options, overrides, part)
        findings += problems
        plan, shortages = try_plan(needs, part, fused.input, [out.tensor for out in fused.outputs])
        findings += [shortage.finding() for shortage in shortages]
        if plan is not None:
            fit = fit_report(plan)
            findings += fit.findings
            tables += [plan.table(), _weight_grid(plan), bias_table(plan), data_table(plan)]
            metrics = dict(fit.metrics)
            arrays = _arrays(plan)
    return Report(
        f"inspection for {part.title}",
        frozen_mapping(metrics),
        tuple(findings),
        tuple(tables),
        frozen_mapping(arrays),
    )


def _runs_as(layer: HardwareLayer) -> str:
    """Return what a layer runs as, and what was rewritten for it."""
    return "; ".join((f"'{layer.name}' runs as {layer.describe()}", *layer.notes))


def _layer_findings(fused: FusedNetwork) -> list[Finding]:
    """Return what every layer runs as, or why it cannot."""
    refused = {refusal.layer for refusal in fused.refusals}
    found = [
        Finding("maxim.layer", Status.PASSED, _runs_as(layer), layer.name)
        for layer in fused.layers
        if layer.name not in refused
    ]
    found += [
        Finding("maxim.host", Status.PASSED, f"'{n.name}' ({n.op}) runs on the host", n.name)
        for n in fused.host
    ]
    found += [
        Finding("maxim.layer", Status.FAILED, f"'{r.layer}': {r.reason}", r.layer, r.hint)
        for r in fused.refusals
    ]
    return found


def _weight_grid(plan: MemoryPlan) -> Table:
    """Return the weight words of all processors, one quadrant per row."""
    columns = ("quadrant", *(f"+{index}" for index in range(PROCESSORS_PER_QUADRANT)))
    words = plan.kernel_words
    rows = tuple(
        (f"{first // PROCESSORS_PER_QUADRANT}", *words[first : first + PROCESSORS_PER_QUADRANT])
        for first in range(0, len(words), PROCESSORS_PER_QUADRANT)
    )
    room = f"{plan.part.kernel_words:,}"
    if plan.part.extra_kernel_words:
        room += f" ({plan.part.kernel_room(0):,} in column +0)"
    return Table(f"Weight memory: words of {room} on each processor", columns, rows)


def _arrays(plan: MemoryPlan) -> dict[str, Any]:
    """Return how full every memory is as lists, for pictures and programs."""
    return {
        "kernel_words": plan.kernel_words,
        "bias_bytes": plan.bias_bytes,
        "instance_bytes": tuple(tuple(row) for row in instance_bytes(plan)),
    }


def _needs(
    fused: FusedNetwork,
    options: MaximOptions,
    overrides: Mapping[str, Mapping[str, Any]],
    part: Part,
) -> tuple[list[LayerNeeds], list[Finding]]:
    findings = []
    try:
        settings = layer_settings(fused, options, overrides, part=part)
    except RecipeError as error:
        settings = layer_settings(fused, options.model_copy(update={"weight_bits": 8}), {})
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
