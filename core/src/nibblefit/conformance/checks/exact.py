"""Family ``exact``: every execution gives the same integers, and they mean the right numbers."""

from __future__ import annotations

import numpy as np

from nibblefit.conformance.bench import Bench
from nibblefit.conformance.records import CheckFailure, CheckSkip, check
from nibblefit.fixed.quantize import dequantize
from nibblefit.ir.compare import compare
from nibblefit.ir.float_reference import run_float
from nibblefit.ir.reference import run as judge

#: Signal-to-noise an honest 8-bit network of one or two layers never falls below; wrong weight
#: order, a lost bias or a scale off by two all end far under it.
LEAST_SQNR_DB = 12.0


@check(
    "exact.engine",
    why="accuracy is measured with the fast engine",
    how="use only operators and steps of the vocabulary; nothing else is needed",
    needs=("stages.quantize",),
)
def engine(bench: Bench) -> None:
    """Fast engine and judge agree on every tensor, extremes included."""
    from nibblefit.engine import Engine

    for case in bench.cases:
        graph = bench.quantized(case)
        codes = bench.extreme_codes(graph)
        result = Engine(graph).run(codes, keep="all").tensors
        comparison = compare(judge(graph, codes).tensors, result, graph)
        if not comparison.equal:
            raise CheckFailure(f"network '{case.name}': {comparison.explain()}")


@check(
    "exact.simulation",
    why="training is only worth something if it simulates the integers that will run",
    how="make the module returned by simulate reproduce the graph code for code",
    needs=("stages.quantize",),
)
def simulation(bench: Bench) -> None:
    """Training's simulation and judge agree on every tensor the simulation models."""
    seen = 0
    for case in bench.cases:
        graph = bench.quantized(case)
        codes = bench.sample_codes(case, graph)
        simulated = bench.simulated(case, graph, codes)
        if simulated is None:
            continue
        seen += 1
        expected = judge(graph, codes).tensors
        known = {name: value for name, value in expected.items() if name in simulated}
        comparison = compare(known, simulated, graph)
        if not known or not comparison.equal:
            raise CheckFailure(f"network '{case.name}': {comparison.explain()}")
    if not seen:
        raise CheckSkip("the target's training has no simulation of its own")


@check(
    "exact.meaning",
    why="integers that agree with each other may still mean the wrong numbers",
    how="check weight order, bias step and the scales of the graph's tensors",
    needs=("stages.quantize",),
)
def meaning(bench: Bench) -> None:
    """The dequantized outputs follow the float network."""
    for case in bench.cases:
        graph = bench.quantized(case)
        images = bench.images(case)
        codes = bench.sample_codes(case, graph)
        integer = judge(graph, codes).tensors
        real = run_float(case.graph, {case.graph.inputs[0]: images})
        for ours, theirs in zip(graph.outputs, case.graph.outputs, strict=False):
            got = dequantize(integer[ours], graph.tensors[ours].format).reshape(len(images), -1)
            wanted = np.asarray(real[theirs], np.float64).reshape(len(images), -1)
            noise = float(np.mean((got - wanted) ** 2)) + 1e-30
            sqnr = 10 * float(np.log10((float(np.mean(wanted**2)) + 1e-30) / noise))
            if sqnr < LEAST_SQNR_DB:
                raise CheckFailure(
                    f"output '{ours}' of network '{case.name}' is {sqnr:.1f} dB from the float "
                    f"network; expected at least {LEAST_SQNR_DB:.0f} dB"
                )
