"""Core's evaluation: task metrics, proof of exactness on every integer, noise, size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from nibblefit.conformance.bench import Bench
from nibblefit.defaults.evaluate import evaluate, evaluate_graph
from nibblefit.defaults.evaluation.exactness import ENGINE_RULE, SIMULATION_RULE
from nibblefit.errors import MismatchError
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.plan import Stage
from nibblefit.quantization.twin import Twin
from nibblefit.recipe import EvaluateSection
from nibblefit.results import Status
from nibblefit.run import Run


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """The built-in target on the kit's tiny networks."""
    made = Bench("generic")
    yield made
    made.close()


def _run(bench: Bench, hooks: Any = None, **settings: Any) -> Run:
    run = bench.run_for(bench.cases[0], Stage.EVALUATE)
    recipe = run.recipe.model_copy(update={"evaluate": EvaluateSection(**settings)})
    return replace(run, recipe=recipe, hooks=hooks or run.hooks)


def _subject(bench: Bench) -> tuple[Model, QuantizedGraph]:
    return bench.model(bench.cases[0]), bench.quantized(bench.cases[0])


def test_a_float_model_is_measured_by_the_task(bench: Bench) -> None:
    """The task's metrics over the test split, and nothing about integers."""
    report = evaluate(_run(bench), _subject(bench)[0])
    assert report.subject == "float model"
    assert set(report.metrics) == {"power"}


def test_an_integer_graph_is_measured_and_proven_exact(bench: Bench) -> None:
    """Metrics near the float model's, two passed proofs, noise, size and histograms."""
    model, graph = _subject(bench)
    wanted = evaluate(_run(bench), model).metrics["power"]
    report = evaluate_graph(_run(bench), graph, "integer graph", model)
    assert report.metrics["power"] == pytest.approx(wanted, rel=0.1)
    findings = {finding.rule: finding for finding in report.findings}
    assert {f.status for f in findings.values()} == {Status.PASSED}
    tensors = [t for name, t in graph.tensors.items() if name not in graph.constants]
    integers = 48 * sum(int(np.prod(t.shape)) for t in tensors)
    assert findings[ENGINE_RULE].value == findings[SIMULATION_RULE].value == integers
    assert [table.title for table in report.tables] == ["Signal to noise per tensor", "Size"]
    assert all(row[2] is None or row[2] > 15 for row in report.tables[0].rows)
    drawn = report.arrays[f"histogram:{graph.inputs[0]}"]
    assert sum(drawn["counts"]) == 48 * int(np.prod(graph.tensors[graph.inputs[0]].shape))
    assert len(drawn["edges"]) == len(drawn["counts"]) + 1
    assert report.metrics["macs"] > 0


def test_batch_size_and_sample_counts_are_followed(bench: Bench) -> None:
    """Any batch size gives the same metric; fewer samples are fewer comparisons."""
    model, graph = _subject(bench)
    whole = evaluate_graph(_run(bench, batch_size=48), graph, "g", model)
    parts = evaluate_graph(_run(bench, batch_size=5, judge_samples=7), graph, "g", model)
    assert parts.metrics["power"] == pytest.approx(whole.metrics["power"], rel=1e-12)
    assert parts.findings[0].value == (whole.findings[0].value or 0) * 7 / 48
    few = evaluate_graph(_run(bench, samples=3), graph, "g", model)
    assert few.metrics["power"] != whole.metrics["power"]


def test_without_its_float_model_a_graph_is_measured_without_noise(bench: Bench) -> None:
    """What cannot be checked is reported as skipped, never as passed."""
    report = evaluate(_run(bench), _subject(bench)[1])
    found = {finding.rule: finding.status for finding in report.findings}
    assert found == {ENGINE_RULE: Status.PASSED, SIMULATION_RULE: Status.SKIPPED}
    assert [table.title for table in report.tables] == ["Size"]


class _Hooks:
    """The target's hooks with another simulation."""

    def __init__(self, bench: Bench, simulation: Any) -> None:
        self._hooks, self._simulation = bench.hooks, simulation

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hooks, name)

    def simulate(self, run: Run, model: Model, graph: QuantizedGraph) -> Any:
        return self._simulation(graph) if self._simulation else None


class _OffByOne(Twin):
    """A simulation that is wrong in one integer of one layer."""

    def codes(self, inputs: Any, state: Any = None) -> dict[str, torch.Tensor]:
        found = super().codes(inputs, state)
        name = self.graph.nodes[0].output
        found[name].view(-1)[5] += 1
        return found


def test_one_wrong_integer_in_the_simulation_stops_the_run(bench: Bench) -> None:
    """The error names who disagrees, the layer, the place and the two values."""
    model, graph = _subject(bench)
    run = _run(bench, _Hooks(bench, _OffByOne), judge_samples=2)
    with pytest.raises(MismatchError, match="training simulation and the judge") as caught:
        evaluate_graph(run, graph, "g", model)
    assert f"node '{graph.nodes[0].name}'" in str(caught.value)
    assert "1 of " in str(caught.value)


def test_a_wrong_engine_stops_the_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is proven on the same integers before its accuracy counts."""
    from nibblefit.defaults.evaluation import exactness

    model, graph = _subject(bench)
    real = exactness.Engine.run

    def wrong(self: Any, *args: Any, **kwargs: Any) -> Any:
        done = real(self, *args, **kwargs)
        for tensor in done.tensors.values():
            tensor.reshape(-1)[0] += 1
        return done

    monkeypatch.setattr(exactness.Engine, "run", wrong)
    with pytest.raises(MismatchError, match="the engine and the judge"):
        evaluate_graph(_run(bench), graph, "g", model)


def test_a_target_without_simulation_says_so(bench: Bench) -> None:
    """Nothing to compare is neither passed nor failed."""
    model, graph = _subject(bench)
    report = evaluate_graph(_run(bench, _Hooks(bench, None)), graph, "g", model)
    assert report.findings[1].status is Status.NOT_APPLICABLE


def test_compiled_files_are_read_back_and_measured(bench: Bench) -> None:
    """The files alone give the graph's metrics."""
    artifact, folder = bench.artifact(bench.cases[0])
    run = replace(_run(bench), artifact_folder=folder)
    report = evaluate(run, artifact)
    wanted = evaluate(_run(bench), _subject(bench)[1])
    assert report.subject == "compiled files"
    assert report.metrics["power"] == wanted.metrics["power"]
