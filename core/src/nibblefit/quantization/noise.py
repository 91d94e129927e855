"""Signal to quantization noise of every tensor, against the float network, in one pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from nibblefit.fixed.formats import IntArray
from nibblefit.fixed.quantize import dequantize
from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.quantization.calibrate import Batches, run_batches
from nibblefit.quantization.fold import fold
from nibblefit.quantization.lowering.runtime.context import EXPONENTS
from nibblefit.results import Table

#: Returns every tensor of the integer network for a batch of real inputs.
Execute = Callable[[npt.NDArray[np.float32]], Mapping[str, IntArray]]


@dataclass(frozen=True, slots=True)
class Noise:
    """How well one tensor's codes keep the float tensor.

    Attributes:
        decibels: 10·log10(Σ float² / Σ (float − dequantized)²); infinite if equal.
    """

    layer: str
    tensor: str
    decibels: float


def signal_to_noise(
    model: Graph, graph: QuantizedGraph, batches: Batches, execute: Execute
) -> list[Noise]:
    """Return the signal-to-noise ratio of every tensor that both networks have, in order.

    Both networks run from the same real inputs, so errors of earlier layers count in later ones.

    Args:
        model: Float graph; it is folded here as the quantizer folds it.
        graph: Its integer graph.
        batches: Real inputs, read once.
        execute: Runs the integer network, for example with the engine.
    """
    folded = fold(model)
    layers = {out: node.layer or node.name for node in graph.nodes for out in node.outputs}
    names = [name for name in (*graph.inputs, *layers) if name in folded.shapes]
    sums = {name: np.zeros(2) for name in names}
    for inputs, values in _paired(folded, batches):
        codes = execute(inputs)
        for name in names:
            found = _decoded(codes, name, graph)
            sums[name] += _energies(values[name].double(), found)
    return [Noise(layers.get(name, name), name, _decibels(*sums[name].tolist())) for name in names]


def _paired(
    graph: Graph, batches: Batches
) -> Iterable[tuple[npt.NDArray[np.float32], Mapping[str, torch.Tensor]]]:
    """Yield each batch with all of its float tensors."""
    current: list[npt.NDArray[np.float32]] = []

    def remembered() -> Iterable[npt.NDArray[np.float32]]:
        for batch in batches:
            current[:] = [batch]
            yield batch

    for values in run_batches(graph, remembered()):
        yield current[0], values


def _decoded(codes: Mapping[str, IntArray], name: str, graph: QuantizedGraph) -> torch.Tensor:
    """Return what a tensor's codes mean, in float64.

    Where the scale changes from frame to frame, the graph names the tensor of exponents.
    """
    found = torch.from_numpy(dequantize(codes[name], graph.tensors[name].format))
    exponent = graph.metadata.get(EXPONENTS, {}).get(name)
    if exponent is None:
        return found
    factors = torch.from_numpy(np.exp2(codes[exponent].astype(np.float64)))
    return found * factors.reshape(-1, *[1] * (found.dim() - 1))


def _energies(wanted: torch.Tensor, found: torch.Tensor) -> npt.NDArray[np.float64]:
    """Return Σ real² and Σ (real − dequantized)²."""
    return np.array([float((wanted**2).sum()), float(((wanted - found) ** 2).sum())])


def _decibels(signal: float, noise: float) -> float:
    if noise == 0.0:
        return math.inf
    return 10.0 * math.log10(signal / noise) if signal > 0 else -math.inf


def noise_table(found: list[Noise]) -> Table:
    """Return the ratios as a table; a tensor without any error shows no number."""
    rows = tuple(
        (n.tensor, n.layer, None if math.isinf(n.decibels) else round(n.decibels, 2)) for n in found
    )
    return Table("Signal to noise per tensor", ("tensor", "layer", "SQNR [dB]"), rows)
