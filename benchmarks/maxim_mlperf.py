"""The trained MLPerf Tiny networks on both parts: what fits, and what breaks first."""

from __future__ import annotations

from pathlib import Path

from benchmarks.mlperf_tiny import RANGES
from benchmarks.section import Grid, Section
from nibblefit.ir.graph import Graph
from nibblefit.nn.onnx_import import import_onnx
from nibblefit.results import Status
from nibblefit_maxim.fusing.fuser import fuse_for
from nibblefit_maxim.inspection import inspect_graph
from nibblefit_maxim.memory.planner import plan_memory
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import PARTS, Part
from nibblefit_maxim.preparation import layer_needs
from nibblefit_maxim.proving.prover import prove
from nibblefit_maxim.proving.violation import Violation
from nibblefit_maxim.settings import layer_settings


def measure(folder: Path) -> Section:
    """Inspect every network for both parts, as `nibblefit inspect` does."""
    rows = []
    for name in RANGES:
        graph = import_onnx(folder / f"{name}.onnx")
        rows += [_row(name, graph, part) for part in PARTS.values()]
    columns = ("network", "part", "fits", "layers", "weight words", "data bytes", "cycles", "ms",
               "proven", "limits broken", "first limit")  # fmt: skip
    note = (
        "8-bit weights. Weight words: of the fullest processor. Data bytes: of the fullest "
        "instance. Proven: executed address by address on the memory model. Cycles follow the "
        "vendor tool's formula for the MAX78000 and are our own estimate for the MAX78002."
    )
    return Section(
        "maxim_mlperf", "MLPerf Tiny networks on the MAX78000/78002", "make results",
        [Grid("", columns, rows, note)],
    )  # fmt: skip


def _row(name: str, graph: Graph, part: Part) -> list[str]:
    report = inspect_graph(graph, part, MaximOptions(), {})
    broken = [finding for finding in report.findings if finding.status is Status.FAILED]
    if broken:
        return [name, part.title, "no", *["–"] * 6, str(len(broken)), broken[0].message]
    metrics = report.metrics
    figures = [
        f"{metrics['layers']:.0f} of {part.max_layers}",
        f"{metrics['kernel_words_peak']:,.0f} of {part.kernel_words:,}",
        f"{metrics['data_bytes_peak']:,.0f} of {part.instance_bytes:,}",
        f"{metrics['cycles']:,.0f}",
        f"{metrics['milliseconds']:.3f}",
        "no" if proof_findings(graph, part) else "yes",
    ]
    return [name, part.title, "yes", *figures, "0", "–"]


def proof_findings(graph: Graph, part: Part) -> list[Violation]:
    """Plan the network and return what the memory model finds wrong with the plan."""
    fused = fuse_for(graph, part, MaximOptions()).require(part.title)
    needs = layer_needs(fused, layer_settings(fused, MaximOptions(), {}))
    plan = plan_memory(needs, part, fused.input, [out.tensor for out in fused.outputs])
    return prove([need.layer for need in plan.needs], plan, part)
