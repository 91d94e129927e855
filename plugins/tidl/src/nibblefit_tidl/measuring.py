"""Evaluation of both targets: core's, with the sparsity of models beside it."""

from __future__ import annotations

from nibblefit.defaults.evaluate import evaluate as core_evaluate
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.results import Artifact, Report
from nibblefit.run import Run
from nibblefit_tidl.sparsity.outcome import with_sparsity


def evaluate(run: Run, subject: Model | QuantizedGraph | Artifact) -> Report:
    """Measure a subject on the test split; a sparse model's zeros are measured three ways."""
    report = core_evaluate(run, subject)
    return with_sparsity(report, subject) if isinstance(subject, Model) else report
