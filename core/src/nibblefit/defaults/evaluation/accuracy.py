"""Accuracy of an integer graph on the test split, executed by the fast engine."""

from __future__ import annotations

from nibblefit.defaults.evaluation.inputs import (
    input_codes,
    real_outputs,
    sample_count,
    test_batches,
)
from nibblefit.engine import Engine
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.results import Report
from nibblefit.run import Run


def measure(run: Run, graph: QuantizedGraph, engine: Engine, subject: str) -> Report:
    """Return the task's report over the test split.

    States of targets that keep any are carried from batch to batch, so the result does not depend
    on the batch size.
    """
    settings = run.recipe.evaluate
    count = sample_count(run, settings.samples)
    sink, state = run.task.metrics(), dict(graph.states)
    with run.reporter.progress(f"{subject}: test set", count) as bar:
        for real, target in test_batches(run, count, settings.batch_size):
            done = engine.run(input_codes(graph, real), state or None)
            state = dict(done.state)
            sink.update(real_outputs(graph, done.outputs), target)
            bar.advance(len(real))
    return sink.report(subject)
