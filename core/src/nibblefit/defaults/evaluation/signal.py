"""Signal to noise per tensor, and histograms of activations, on test samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.defaults.evaluation.inputs import (
    input_codes,
    judge_batch,
    sample_count,
    test_batches,
)
from nibblefit.engine import Engine
from nibblefit.fixed.formats import IntArray
from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.quantization.noise import Noise, noise_table, signal_to_noise
from nibblefit.results import Table
from nibblefit.run import Run

#: Test samples from which ratios and histograms are taken.
SAMPLES = 64
_BINS = 64


def measure_signal(
    run: Run, model: Graph | None, graph: QuantizedGraph, engine: Engine
) -> tuple[tuple[Table, ...], dict[str, Any]]:
    """Return the signal-to-noise table (none without a float model) and histograms of codes."""
    count = sample_count(run, run.recipe.evaluate.samples or SAMPLES)
    size = judge_batch(graph, run.recipe.evaluate.batch_size)
    histograms = {name: _Codes(graph, name) for name in _shown(graph)}

    def execute(real: npt.NDArray[np.float32]) -> Mapping[str, IntArray]:
        tensors = engine.run(input_codes(graph, real), keep="all").tensors
        for name, histogram in histograms.items():
            histogram.add(tensors[name])
        return tensors

    batches = (real for real, _ in test_batches(run, min(count, SAMPLES), size))
    found: list[Noise] = []
    if model is not None:
        found = signal_to_noise(model, graph, batches, execute)
    else:
        for real in batches:
            execute(real)
    arrays = {f"histogram:{name}": histogram.drawn() for name, histogram in histograms.items()}
    return ((noise_table(found),) if found else ()), arrays


def _shown(graph: QuantizedGraph) -> list[str]:
    """Return inputs and the last tensor of every layer."""
    last = [nodes[-1].output for nodes in graph.layers().values()]
    return list(dict.fromkeys((*graph.inputs, *last)))


class _Codes:
    """Histogram of one tensor's codes over its format's range (of wide formats: their span)."""

    def __init__(self, graph: QuantizedGraph, name: str) -> None:
        fmt = graph.tensors[name].format
        self._bins = min(_BINS, fmt.hi - fmt.lo + 1)
        self._wide = fmt.bits > 16
        self._edges = np.linspace(fmt.lo, fmt.hi + 1.0, self._bins + 1)
        self._counts = np.zeros(self._bins, np.int64)

    def add(self, codes: IntArray) -> None:
        if self._wide and not self._counts.any() and codes.size:
            lo, hi = float(codes.min()), float(codes.max())
            self._edges = np.linspace(lo, hi + 1.0, self._bins + 1)
        inside = np.clip(codes, self._edges[0], self._edges[-1])
        self._counts += np.histogram(inside, bins=self._edges)[0]

    def drawn(self) -> dict[str, list[float] | list[int]]:
        return {"edges": self._edges.tolist(), "counts": self._counts.tolist()}
