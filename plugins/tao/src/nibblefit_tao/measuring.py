"""Evaluation: core's, with honest sizes before and after pruning."""

from __future__ import annotations

from dataclasses import fields, replace

from nibblefit.defaults.evaluate import evaluate as core_evaluate
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.results import Artifact, Report
from nibblefit.run import Run
from nibblefit_tao.sizes import Size, size_of, size_table


def evaluate(run: Run, subject: Model | QuantizedGraph | Artifact) -> Report:
    """Measure a subject on the test split; a float model also by its size."""
    report = core_evaluate(run, subject)
    if not isinstance(subject, Model):
        return report
    size, whole = size_of(subject.graph), _unpruned(subject)
    metrics = {
        "parameters": float(size.parameters),
        "weight_bytes": float(size.weight_bytes),
        "macs": float(size.macs),
        "pruning_ratio": size.parameters / whole.parameters if whole else 1.0,
    }
    table = size_table(size, whole, run.recipe.train.optimizer)
    return replace(report, metrics=frozen_mapping({**report.metrics, **metrics}),
                   tables=(*report.tables, table))  # fmt: skip


def _unpruned(model: Model) -> Size | None:
    """Return the size of the network before pruning, None if it was not pruned."""
    facts = model.extra.get("pruning")
    if facts is None:
        return None
    return Size(*(int(facts[f"{field.name}_before"]) for field in fields(Size)))
