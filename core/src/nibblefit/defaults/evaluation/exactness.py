"""Bit-exactness: judge, engine and training's simulation on every integer of every layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from nibblefit.defaults.evaluation.inputs import (
    input_codes,
    judge_batch,
    sample_count,
    test_batches,
)
from nibblefit.engine import Engine
from nibblefit.errors import MismatchError
from nibblefit.fixed.formats import IntArray
from nibblefit.ir import reference
from nibblefit.ir.compare import compare
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.results import Finding, Status
from nibblefit.run import Run

ENGINE_RULE = "exact.engine"
SIMULATION_RULE = "exact.simulation"


class _Tally:
    """Counts integers compared with one execution."""

    def __init__(self, rule: str, name: str) -> None:
        self.rule, self.name = rule, name
        self.codes, self.tensors = 0, 0

    def check(self, expected: Mapping[str, IntArray], found: Mapping[str, IntArray],
              graph: QuantizedGraph, first: int) -> None:  # fmt: skip
        """Compare one batch that starts at sample `first`.

        Raises:
            MismatchError: Names layer, index, values and the likely reason.
        """
        comparison = compare(expected, found, graph)
        if not comparison.equal:
            raise MismatchError(
                f"the {self.name} and the judge disagree (samples from {first} on)\n"
                f"{comparison.explain()}",
                hint="the integers of the judge define the result; report this",
            )
        self.codes += sum(int(codes.size) for codes in expected.values())
        self.tensors = len(expected)

    def finding(self, samples: int) -> Finding:
        message = (
            f"judge and {self.name} agree on {self.codes:,} integers: {self.tensors} tensors, "
            f"{samples} test samples"
        )
        return Finding(self.rule, Status.PASSED, message, value=float(self.codes), unit="integers")


def check_exactness(
    run: Run, graph: QuantizedGraph, engine: Engine, model: Model | None
) -> tuple[Finding, ...]:
    """Compare every integer of every tensor on `evaluate.judge_samples` test samples.

    Args:
        run: The run.
        graph: Graph that all of them execute.
        engine: Its engine.
        model: Float model behind the graph, for training's simulation; None if it is not known.

    Raises:
        MismatchError: Two executions differ anywhere.
    """
    settings = run.recipe.evaluate
    count = sample_count(run, settings.judge_samples)
    simulation = run.hooks.simulate(run, model, graph) if model is not None else None
    fast, trained = _Tally(ENGINE_RULE, "engine"), _Tally(SIMULATION_RULE, "training simulation")
    state: dict[str, IntArray] = dict(graph.states)
    first = 0
    with run.reporter.progress("bit-exactness", count) as bar:
        for real, _ in test_batches(run, count, judge_batch(graph, settings.batch_size)):
            codes = input_codes(graph, real)
            judged = reference.run(graph, codes, state or None)
            done = engine.run(codes, state or None, keep="all")
            fast.check(judged.tensors, done.tensors, graph, first)
            if simulation is not None:
                found = _simulated(simulation, codes, state)
                known = {name: judged.tensors[name] for name in judged.tensors if name in found}
                trained.check(known, found, graph, first)
            state = dict(judged.state)
            first += len(real)
            bar.advance(len(real))
    return fast.finding(count), _simulation_finding(trained, simulation, model, count)


def _simulated(simulation: Any, codes: Mapping[str, IntArray],
               state: Mapping[str, IntArray]) -> dict[str, IntArray]:  # fmt: skip
    (name,) = codes
    given = {"state": state} if state else {}
    with torch.no_grad():
        found = simulation(torch.from_numpy(np.ascontiguousarray(codes[name])), **given)
    return {key: value.cpu().numpy() for key, value in found.items()}


def _simulation_finding(tally: _Tally, simulation: Any, model: Model | None,
                        count: int) -> Finding:  # fmt: skip
    if simulation is not None:
        return tally.finding(count)
    if model is None:
        message = "the float model behind this graph is not known"
        return Finding(SIMULATION_RULE, Status.SKIPPED, message)
    message = "training of this target has no simulation of its own"
    return Finding(SIMULATION_RULE, Status.NOT_APPLICABLE, message)
