"""Evaluation: integers are compared with the float network that they really stand for."""

from __future__ import annotations

from nibblefit.defaults.evaluate import evaluate as core_evaluate
from nibblefit.defaults.evaluate import evaluate_graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.results import Artifact, Report
from nibblefit.run import Run
from nibblefit_vitis.qat.keeping import thresholds_of
from nibblefit_vitis.qat.places import folded_graph
from nibblefit_vitis.quantize.configured import setting_of
from nibblefit_vitis.quantize.pipeline import ready


def evaluate(run: Run, subject: Model | QuantizedGraph | Artifact) -> Report:
    """Measure a subject on the test split.

    Signal-to-noise is taken against the prepared network: equalization moves factors between
    layers, so that inner tensors of the original one are other numbers.
    """
    if isinstance(subject, Model) or run.reference is None:
        return core_evaluate(run, subject)
    if isinstance(subject, Artifact):
        return evaluate_graph(run, run.hooks.read_back(run, subject), "compiled files",
                              prepared(run, run.reference))  # fmt: skip
    return evaluate_graph(run, subject, "integer graph", prepared(run, run.reference))


def prepared(run: Run, model: Model) -> Model:
    """Return a model around its prepared network; quantized training has folded it only."""
    setting, _ = setting_of(run.recipe, run.options, model.graph)
    if thresholds_of(model):
        return model.with_graph(folded_graph(model.graph, setting))
    return model.with_graph(ready(model.graph, setting).graph)
