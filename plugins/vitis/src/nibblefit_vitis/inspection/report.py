"""The inspection as core's report, for ``nibblefit inspect``."""

from __future__ import annotations

from pathlib import Path

from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.recipe import Recipe
from nibblefit.results import Finding, Report, Status, Table
from nibblefit_vitis.devices.catalogue import dpu_named
from nibblefit_vitis.inspection.from_graph import network_of
from nibblefit_vitis.inspection.inspection import Inspection, inspect_network
from nibblefit_vitis.inspection.layer import times
from nibblefit_vitis.inspection.placing import Placement, Where
from nibblefit_vitis.inspection.text import target_facts

#: More DPU subgraphs than this cost time: data travels between them.
_FEW = 1


def inspect_graph(graph: Graph, part: str, recipe: Recipe | None) -> Report:
    """Return where every layer of a float graph runs, with core's sizes and counts."""
    from nibblefit.defaults.inspect import inspect as core_inspect
    from nibblefit_vitis.numerics import DPU_NUMERICS

    found = report(inspect_network(network_of(graph), dpu_named(_dpu_of(part, recipe))))
    counted = core_inspect(graph, part, recipe, DPU_NUMERICS).metrics
    kept = {key: counted[key] for key in ("parameters", "macs") if key in counted}
    return Report(found.subject, frozen_mapping({**found.metrics, **kept}), found.findings,
                  found.tables)  # fmt: skip


def _dpu_of(part: str, recipe: Recipe | None) -> str:
    """Return the DPU that a recipe's ``arch`` means, else the part."""
    if recipe is None:
        return part
    from nibblefit_vitis.writing.arch import arch_of

    arch = str((recipe.target.model_extra or {}).get("arch", ""))
    return arch_of(arch, Path(recipe.folder)) or part


def report(inspection: Inspection) -> Report:
    """Return an inspection as a report: warnings for layers on the CPU, with what to do."""
    layers = len(inspection.placements)
    metrics = {
        "layers": float(layers),
        "on_dpu": float(len(inspection.on(Where.DPU))),
        "on_cpu": float(len(inspection.on(Where.CPU))),
        "dpu_subgraphs": float(len(inspection.pieces(Where.DPU))),
    }
    findings = [*(_finding(one) for one in inspection.placements), _outcome(inspection)]
    findings += [Finding("vitis.shapes", Status.WARNING, note) for note in inspection.network.notes]
    if inspection.dpu.doubt:
        findings.append(Finding("vitis.target", Status.WARNING, inspection.dpu.doubt))
    return Report(
        f"'{inspection.network.name}' on {inspection.dpu.name}", frozen_mapping(metrics),
        tuple(findings), (_layer_table(inspection), _piece_table(inspection),
                          Table("Target", ("fact", "value"), tuple(target_facts(inspection.dpu)))),
    )  # fmt: skip


def _finding(one: Placement) -> Finding:
    name, word = one.layer.name, one.layer.word
    if one.refusal is not None:
        message = f"{word}: {one.refusal.reason} (CPU)"
        return Finding(one.refusal.rule, Status.WARNING, message, name, one.refusal.remedy)
    notes = f" ({'; '.join(one.notes)})" if one.notes else ""
    status = Status.WARNING if one.notes else Status.PASSED
    return Finding("vitis.layer", status, f"{word}: {one.what}{notes}", name)


def _outcome(inspection: Inspection) -> Finding:
    whole = not inspection.on(Where.CPU) and len(inspection.pieces(Where.DPU)) <= _FEW
    hint = "" if whole else "rewrite the layers on the CPU, or move them to an end of the network"
    status = Status.PASSED if whole else Status.WARNING
    return Finding("vitis.partition", status, inspection.headline, hint=hint)


def _layer_table(inspection: Inspection) -> Table:
    pieces = inspection.piece_of()
    rows = tuple(
        (one.layer.name, one.layer.word, times(one.layer.shape), one.where.value,
         pieces.get(one.layer.name), one.refusal.reason if one.refusal else one.what)
        for one in inspection.placements
    )  # fmt: skip
    return Table(
        "Layers", ("layer", "operator", "output", "device", "subgraph", "as, or why"), rows
    )


def _piece_table(inspection: Inspection) -> Table:
    rows = tuple((one.number, one.where.value, len(one.layers), one.layers[0], one.layers[-1])
                 for one in inspection.subgraphs if one.layers)  # fmt: skip
    return Table("Predicted subgraphs", ("number", "device", "layers", "first", "last"), rows)
