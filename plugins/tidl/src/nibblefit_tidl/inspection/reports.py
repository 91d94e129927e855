"""The inspection reports of both targets."""

from __future__ import annotations

from nibblefit.defaults.inspect import inspect as core_inspect
from nibblefit.errors import RecipeError
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.recipe import Recipe
from nibblefit.results import Finding, Report, Status
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.complexity.macs import importer_gmac, mmac
from nibblefit_tidl.complexity.sparsity import sparsity
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.devices import ClassicDevice, Device, classic_device_named, device_named
from nibblefit_tidl.front.options import FrontOptions
from nibblefit_tidl.front.reporting import with_front_cost
from nibblefit_tidl.inspection.latency import latency_report
from nibblefit_tidl.inspection.layers import (
    data_bytes,
    has_constant_weights,
    layer_findings,
    layer_table,
)
from nibblefit_tidl.inspection.partition import (
    partition_finding,
    partition_table,
    stretches,
)
from nibblefit_tidl.inspection.settings import classic_setting, current_setting
from nibblefit_tidl.latency.errors import error_table
from nibblefit_tidl.tables.judging import Judgement, Setting, judge

_UNESTIMATED = "no latency is estimated: TI has published none for these devices that it could fit"


def inspect_current(graph: Graph, part: str, recipe: Recipe | None, options: TidlOptions) -> Report:
    """Return layers, support, sizes and the predicted subgraphs for a C7x-MMA device."""
    device = device_named(part)
    setting = current_setting(device, options)
    judgements = judge(graph, setting)
    found = stretches(judgements)
    base = _base(graph, part, recipe, setting, judgements)
    metrics = {**base.metrics, "subgraphs": float(sum(s.number > 0 for s in found))}
    findings = (*base.findings, partition_finding(found),
                Finding("tidl.latency", Status.NOT_APPLICABLE, _UNESTIMATED))  # fmt: skip
    report = Report(base.subject, frozen_mapping(metrics), findings,
                    (*base.tables, partition_table(found)))  # fmt: skip
    return _with_front(report, graph, device, options)


def inspect_classic(
    graph: Graph, part: str, recipe: Recipe | None, options: ClassicOptions
) -> Report:
    """Return layers, support, sizes, kernels, and the latency on EVE, DSP and both."""
    device = classic_device_named(part)
    setting = classic_setting(device, options)
    judgements = judge(graph, setting)
    base = _base(graph, part, recipe, setting, judgements)
    metrics, findings, tables = dict(base.metrics), list(base.findings), list(base.tables)
    if len(graph.outputs) > device.outputs:
        findings.append(Finding(
            "tidl.outputs", Status.WARNING,
            f"{len(graph.outputs)} outputs, but a network has {device.outputs} on this device",
            hint="join them: DetectionOutput behind detection heads, else a concatenation",
        ))  # fmt: skip
    if has_constant_weights(graph):
        try:
            latency = latency_report(graph, device, options.kernel)
        except RecipeError as error:
            findings += [_no_kernel(problem) for problem in error.problems]
        else:
            metrics |= latency.metrics
            findings += latency.findings
            tables += (latency.table, error_table())
    report = Report(base.subject, frozen_mapping(metrics), tuple(findings), tuple(tables))
    return _with_front(report, graph, device, options)


def _with_front(report: Report, graph: Graph, device: Device | ClassicDevice,
                options: FrontOptions) -> Report:  # fmt: skip
    """Return the report with the cost of normalizing, where there is one image to normalize."""
    if len(graph.inputs) != 1:
        return report
    return with_front_cost(report, graph.shapes[graph.inputs[0]], device, options)


def _base(
    graph: Graph, part: str, recipe: Recipe | None, setting: Setting,
    judgements: tuple[Judgement, ...],
) -> Report:  # fmt: skip
    """Return what both generations report."""
    counted = core_inspect(graph, part, recipe, setting.numerics).metrics
    largest, every = data_bytes(graph, setting)
    metrics = {
        **counted,
        "supported": float(sum(not one.is_refused for one in judgements)),
        **_complexity(graph),
        "largest_tensor_bytes": float(largest),
        "data_bytes": float(every),
    }
    return Report(
        f"'{graph.name}' on {setting.device}", frozen_mapping(metrics),
        tuple(layer_findings(judgements)), (layer_table(graph, judgements, setting),),
    )  # fmt: skip


def _complexity(graph: Graph) -> dict[str, float]:
    """Return operations as TI's tables and as the importer count them, and the zeros."""
    if not has_constant_weights(graph):
        return {}
    return {
        "mmac": mmac(graph),
        "importer_gmac": importer_gmac(graph),
        "sparsity_by_weights": sparsity(graph).by_weights,
    }


def _no_kernel(problem: str) -> Finding:
    return Finding("tidl.kernel", Status.FAILED, problem, "target.kernel",
                   "name convolutions of the network")  # fmt: skip
