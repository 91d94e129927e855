"""Core's evaluation: accuracy on the test split, proof of exactness, noise and size."""

from __future__ import annotations

from dataclasses import replace

from nibblefit.defaults.evaluation.accuracy import measure
from nibblefit.defaults.evaluation.exactness import check_exactness
from nibblefit.defaults.evaluation.signal import measure_signal
from nibblefit.defaults.evaluation.sparsity import with_sparsity
from nibblefit.engine import Engine
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.quantization.size import layer_sizes, size_table
from nibblefit.results import Artifact, Report
from nibblefit.run import Run
from nibblefit.training.evaluation import evaluate_float


def evaluate(run: Run, subject: Model | QuantizedGraph | Artifact) -> Report:
    """Measure a float model, an integer graph or compiled files on the test split.

    An integer graph is executed by the engine on the whole test set (or `evaluate.samples`), and
    on `evaluate.judge_samples` engine, judge and training's simulation are compared integer by
    integer. Compiled files are read back first and then measured like a graph.

    Raises:
        MismatchError: Two executions of the graph differ anywhere.
    """
    if isinstance(subject, Model):
        return _evaluate_model(run, subject)
    if isinstance(subject, Artifact):
        return evaluate_graph(run, run.hooks.read_back(run, subject), "compiled files")
    return evaluate_graph(run, subject, "integer graph")


def evaluate_graph(
    run: Run, graph: QuantizedGraph, subject: str, model: Model | None = None
) -> Report:
    """Measure an integer graph.

    Args:
        run: The run.
        graph: The graph.
        subject: Heading of the report.
        model: Float model behind the graph; None takes the run's reference.
    """
    model = model or run.reference
    engine = Engine(graph, threads=run.recipe.run.threads or None)
    report = measure(run, graph, engine, subject)
    findings = check_exactness(run, graph, engine, model)
    tables, arrays = measure_signal(run, model.graph if model else None, graph, engine)
    layers = layer_sizes(graph)
    sizes = {
        "weight_bytes": float(sum(layer.weight_bytes for layer in layers)),
        "parameters": float(sum(layer.parameters for layer in layers)),
        "macs": float(sum(layer.macs for layer in layers)),
    }
    if model is not None and model.masks:
        report = with_sparsity(report, graph)
    return replace(
        report,
        metrics=frozen_mapping({**report.metrics, **sizes}),
        findings=(*report.findings, *findings),
        tables=(*report.tables, *tables, size_table(graph)),
        arrays=frozen_mapping({**report.arrays, **arrays}),
    )


def _evaluate_model(run: Run, model: Model) -> Report:
    settings = run.recipe.evaluate
    network = run.hooks.network(run, model).to(run.device)
    report = evaluate_float(network, run.task, run.data, batch_size=settings.batch_size,
                            limit=settings.samples, subject=_subject(model))  # fmt: skip
    return with_sparsity(report, model.graph) if model.masks else report


def _subject(model: Model) -> str:
    if model.masks and model.phase in ("source", "float", "recover"):
        return "pruned model"
    return "float model" if model.phase in ("source", "float") else f"{model.phase} model"
