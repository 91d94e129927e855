"""Handles for compile steps of both targets, with any options and any network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tests.tidl.networks import classifier, samples

from nibblefit.conformance.bench import Bench
from nibblefit.conformance.samples import Noise
from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.plan import Stage
from nibblefit.results import Artifact
from nibblefit.run import Run


@dataclass(frozen=True)
class Compiled:
    """A network and its files."""

    run: Run
    network: Graph
    graph: QuantizedGraph
    artifact: Artifact

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self.run.folder

    def read(self, name: str) -> str:
        """Return a text file."""
        return (self.folder / name).read_text()


def compiled(target: str, options: dict[str, Any] | None = None, *, part: str = "",
             network: Graph | None = None) -> Compiled:  # fmt: skip
    """Quantize a network and write its files; the folder lives as long as the bench."""
    run, network, graph = prepared(target, options, part=part, network=network)
    artifact = BENCHES[target, part].hooks.call_stage(Stage.COMPILE, run, graph=graph)
    return Compiled(run, network, graph, artifact)


def prepared(target: str, options: dict[str, Any] | None = None, *, part: str = "",
             network: Graph | None = None) -> tuple[Run, Graph, QuantizedGraph]:  # fmt: skip
    """Return the handle of a compile step, the float network and its integers."""
    if (target, part) not in BENCHES:
        BENCHES[target, part] = Bench(target, part)
    bench = BENCHES[target, part]
    network = network or NETWORK
    if target == "tidl":
        # Rounds of bias calibration take nearly all the time, and no file depends on their result.
        options = {"calibration_iterations": 2, **(options or {})}
    chosen = type(bench.run_for(bench.cases[0], Stage.COMPILE).options)(**(options or {}))
    run = replace(
        bench.run_for(bench.cases[0], Stage.COMPILE), options=chosen, reference=Model(network),
        data=Noise(network.shapes[network.inputs[0]], (-1.0, 1.0)),
    )  # fmt: skip
    key = (target, part, repr(chosen), id(network))
    if key not in GRAPHS:
        GRAPHS[key] = _quantized(target, chosen, part, network)
    return run, network, GRAPHS[key]


def _quantized(target: str, chosen: Any, part: str, network: Graph) -> QuantizedGraph:
    if target == "tidl":
        from nibblefit_tidl.current.modes import mode_of
        from nibblefit_tidl.current.quantize import quantize_network
        from nibblefit_tidl.devices import device_named

        mode = mode_of(device_named(part), chosen)
        return quantize_network(network, mode, chosen, [samples(network, 16)]).graph
    from nibblefit_tidl.classic import quantize

    return quantize.quantize_network(network, chosen, [samples(network, 16)])[0]


#: Quantized once; the graphs are values.
GRAPHS: dict[tuple[Any, ...], QuantizedGraph] = {}
NETWORK = classifier(zeros=0.6)
BENCHES: dict[tuple[str, str], Bench] = {}


def zeros(values: Any) -> int:
    """Return how many values are exactly zero."""
    return int(np.count_nonzero(np.asarray(values) == 0))
