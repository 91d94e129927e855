"""Evaluation: core's, with honest sizes before and after pruning."""

from __future__ import annotations

from dataclasses import replace

from nibblefit.defaults.evaluate import evaluate as core_evaluate
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.results import Artifact, Report, Table
from nibblefit.run import Run
from nibblefit_tao.sizes import MIB, size_of


def evaluate(run: Run, subject: Model | QuantizedGraph | Artifact) -> Report:
    """Measure a subject on the test split; a float model also by its size."""
    report = core_evaluate(run, subject)
    if not isinstance(subject, Model):
        return report
    size = size_of(subject.graph)
    facts = subject.extra.get("pruning", {})
    whole, whole_macs = facts.get("parameters_before"), facts.get("macs_before")
    metrics = {
        "parameters": float(size.parameters),
        "weight_bytes": float(size.weight_bytes),
        "macs": float(size.macs),
        "pruning_ratio": size.parameters / whole if whole else 1.0,
    }
    checkpoint = size.checkpoint_bytes(run.recipe.train.optimizer)
    rows = (
        ("parameters, statistics included", f"{size.parameters:,}", _share(size.parameters, whole)),
        ("trained parameters", f"{size.trained:,}", ""),
        ("float32 weights alone", _mib(size.weight_bytes), ""),
        (f"training checkpoint ({run.recipe.train.optimizer})", _mib(checkpoint), ""),
        ("INT8 weights, about", _mib(size.int8_bytes), ""),
        ("multiply-accumulates for one input", f"{size.macs:,}", _share(size.macs, whole_macs)),
    )
    table = Table("Size", ("what", "size", "remains of the unpruned network"), rows)
    return replace(report, metrics=frozen_mapping({**report.metrics, **metrics}),
                   tables=(*report.tables, table))  # fmt: skip


def _mib(size: int) -> str:
    return f"{size / MIB:.2f} MiB"


def _share(now: int, before: int | None) -> str:
    return f"{now / before:.1%}" if before else ""
