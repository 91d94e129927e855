"""The latency part of an inspection: every layer's time, the best placement, and the notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from nibblefit.ir.graph import Graph
from nibblefit.models import Model
from nibblefit.quantization.fold import fold
from nibblefit.results import Finding, Report, Status, Table
from nibblefit_tidl.classic.kernels import KernelChoice, kernel_choices
from nibblefit_tidl.classic.options import ClassicOptions, Kernel
from nibblefit_tidl.devices import ClassicDevice, classic_device_named
from nibblefit_tidl.latency.errors import note
from nibblefit_tidl.latency.placement import DSP, EVE, placement
from nibblefit_tidl.latency.timing import layer_times

_COLUMNS = ("layer", "EVE kernel", "zeros", "EVE ms", "DSP ms", "best")
#: The last row: on either core alone, and with the best placement.
_ALL = "all layers"
_CORES = {EVE: "EVE", DSP: "DSP"}


@dataclass(frozen=True, slots=True)
class LatencyReport:
    """Table, totals and findings about latency."""

    table: Table
    metrics: Mapping[str, float]
    findings: tuple[Finding, ...]


def latency_report(
    graph: Graph, device: ClassicDevice, kernel: Kernel | Mapping[str, Kernel]
) -> LatencyReport:
    """Return the estimated latency of one frame on EVE, on the DSP, and on both.

    Args:
        graph: Any float graph.
        device: The device.
        kernel: As the option of the target.

    Raises:
        RecipeError: `kernel` names a layer that is no convolution.
    """
    folded = fold(graph)
    times, choices = layer_times(folded, kernel), kernel_choices(folded, kernel)
    best = placement(graph, device, kernel)
    by_name = {choice.layer: choice for choice in choices}
    rows = []
    for time in times:
        choice = by_name.get(time.layer.name)
        kind = ("dense" if choice.dense else "sparse") if choice else None
        rows.append((time.layer.name, kind, choice.sparsity if choice else None, time.eve, time.dsp,
                     _CORES[best.groups[time.layer.name]]))  # fmt: skip
    eve, dsp = sum(time.eve for time in times), sum(time.dsp for time in times)
    rows.append((_ALL, None, None, eve, dsp, f"{best.milliseconds:.4g} ms"))
    metrics = {"eve_ms": eve, "dsp_ms": dsp, "eve_and_dsp_ms": best.milliseconds}
    warnings = tuple(_warning(choice) for choice in choices if choice.warning)
    return LatencyReport(Table("Latency", _COLUMNS, tuple(rows)), metrics,
                         (*warnings, *_notes(device)))  # fmt: skip


def with_latency(report: Report, subject: object, part: str, options: ClassicOptions) -> Report:
    """Return the evaluation of a model with its estimated latency; of anything else, as it is.

    An inspection sees the network as it was given; here the zeros of training count.

    Args:
        report: What was measured.
        subject: What it was measured on.
        part: Name of the device.
        options: They choose the kernels.
    """
    if not isinstance(subject, Model):
        return report
    zeroed = {name: subject.graph.constants[name] * mask for name, mask in subject.masks.items()}
    graph = subject.graph.with_constants(zeroed)
    found = latency_report(graph, classic_device_named(part), options.kernel)
    return replace(report, tables=(*report.tables, found.table))


def _warning(choice: KernelChoice) -> Finding:
    hint = "set target.kernel, or leave it: the integers are the same"
    return Finding("tidl.kernel", Status.WARNING, choice.warning, choice.layer, hint)


def _notes(device: ClassicDevice) -> tuple[Finding, ...]:
    lines = [note("eve"), note("dsp")]
    if not device.name.startswith("am57"):
        lines.append(f"the latencies are those of AM57xx; {device.name} may have other clocks")
    return tuple(Finding("tidl.latency", Status.PASSED, line) for line in lines)
