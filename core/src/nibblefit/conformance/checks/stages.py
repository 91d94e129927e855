"""Family ``stages``: hooks return what they promise and leave their inputs alone."""

from __future__ import annotations

from nibblefit.conformance.bench import Bench
from nibblefit.conformance.records import CheckFailure, check
from nibblefit.ir.store import digest
from nibblefit.models import Model


@check(
    "stages.prepare",
    why="every run begins here",
    how="return a Model for networks made of the operators in info.numerics.operators",
    needs=("contract.info", "contract.hooks"),
)
def prepare(bench: Bench) -> None:
    """Every case built from declared operators is accepted."""
    for case in bench.cases:
        bench.model(case)


@check(
    "stages.quantize",
    why="everything after training depends on the integer graph",
    how="end quantize with a return of a QuantizedGraph that follows every rule of "
    "nibblefit.ir.legal, the proven accumulator among them",
    needs=("stages.prepare",),
)
def quantize(bench: Bench) -> None:
    """Every case becomes an integer graph."""
    for case in bench.cases:
        bench.quantized(case)


@check(
    "stages.inputs_unchanged",
    why="a stage that edits its input makes resuming give other results than running through",
    how="copy before changing; constants handed in are read-only on purpose",
    needs=("stages.quantize",),
)
def inputs_unchanged(bench: Bench) -> None:
    """Prepare and quantize leave graph and model as they were."""
    case = bench.cases[0]
    graph_before = digest(case.graph)
    model = bench.fresh_model(case)
    if digest(case.graph) != graph_before:
        raise CheckFailure("prepare changed the graph it was given")
    thawed = _thaw(model)
    before = digest(thawed.graph)
    bench.fresh_quantized(case, thawed)
    if digest(thawed.graph) != before:
        raise CheckFailure("quantize changed the model it was given")


def _thaw(model: Model) -> Model:
    """Return the model with writable weights, so that a careless change shows as a change."""
    constants = {name: value.copy() for name, value in model.graph.constants.items()}
    return model.with_graph(model.graph.with_constants(constants))


@check(
    "stages.repeatable",
    why="the same recipe must give the same integers, or nothing can be compared",
    how="take every random number from run.seed and never depend on time or dictionary order",
    needs=("stages.quantize",),
)
def repeatable(bench: Bench) -> None:
    """Preparing and quantizing twice gives the same digest."""
    for case in bench.cases[:2]:
        first = digest(bench.quantized(case))
        second = digest(bench.fresh_quantized(case, bench.fresh_model(case)))
        if first != second:
            raise CheckFailure(f"network '{case.name}' quantized twice gives two different graphs")
