"""Evaluation of both targets: core's, with the sparsity of networks beside it."""

from __future__ import annotations

from nibblefit.defaults.evaluate import evaluate as core_evaluate
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.results import Artifact, Report
from nibblefit.run import Run
from nibblefit_tidl.complexity.sparsity import sparsity, sparsity_of_codes
from nibblefit_tidl.front.reporting import with_front
from nibblefit_tidl.front.stage import integer_run
from nibblefit_tidl.sparsity.eligibility import convolutions
from nibblefit_tidl.sparsity.outcome import with_sparsity


def evaluate(run: Run, subject: Model | QuantizedGraph | Artifact) -> Report:
    """Measure a subject on the test split; a sparse network's zeros are measured three ways."""
    floats = isinstance(subject, Model)
    report = core_evaluate(run if floats else integer_run(run), subject)
    if not floats:
        report = with_front(report, run)
    model = subject if isinstance(subject, Model) else run.reference
    found = sparsity(model.graph, model.masks) if model is not None else None
    if model is None or found is None or found.by_weights == 0.0:
        return report
    if not isinstance(subject, Model):
        graph = run.hooks.read_back(run, subject) if isinstance(subject, Artifact) else subject
        found = sparsity_of_codes(graph)
    reasons = {layer.name: layer.reason or "thresholded" for layer in convolutions(model.graph)}
    return with_sparsity(report, found, reasons)
