"""Float against simulated integers, layer by layer, on the same real inputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nibblefit.defaults.evaluation.inputs import input_codes
from nibblefit.engine import Engine
from nibblefit.fixed.formats import FloatArray, Format, IntArray
from nibblefit.fixed.quantize import dequantize
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.quantization.calibrate import run_batches
from nibblefit.quantization.lowering.runtime.context import EXPONENTS
from nibblefit_tidl.triage.layers import Layer

Frames = npt.NDArray[np.float32]
#: Points of a layer's scatter plot.
POINTS = 600


@dataclass(frozen=True, slots=True)
class LayerError:
    """How far one layer's integers are from the float network; real units throughout.

    Errors of earlier layers are part of it: both networks run from the same real inputs.

    Attributes:
        layer: The layer.
        format: Storage name of its codes, such as ``uint8``.
        step: Real value of one step, of the frame of the finest scale where that changes.
        values: Number of compared values.
        mean_abs, max_abs: Absolute difference.
        decibels: Signal to noise, 10·log10(Σ float² / Σ difference²); infinite if equal, minus
            infinite for errors of an all-zero tensor.
        cosine: Cosine between both tensors; 1 if both are zero, 0 if one is.
        relative: Largest difference over the span of the float values (zero included).
        saturated_low, saturated_high: Codes at an end of their range whose float value lies more
            than half a step beyond it.
        points: (count, 2) float64, float value and what the code means, sampled evenly.
    """

    layer: Layer
    format: str
    step: float
    values: int
    mean_abs: float
    max_abs: float
    decibels: float
    cosine: float
    relative: float
    saturated_low: int
    saturated_high: int
    points: FloatArray

    @property
    def saturated(self) -> int:
        """Saturated codes at both ends."""
        return self.saturated_low + self.saturated_high


def layer_errors(
    folded: Graph, graph: QuantizedGraph, layers: Iterable[Layer], batches: Iterable[Frames]
) -> tuple[LayerError, ...]:
    """Return the error of every layer whose tensor both networks have, in order.

    Args:
        folded: The float graph without batch norm.
        graph: Its integer graph.
        layers: The merged layers.
        batches: Real inputs; only one batch of tensors is in memory at a time.
    """
    sums = {
        layer.name: _Sums(layer, graph.tensors[layer.name].format)
        for layer in layers if layer.name in graph.tensors
    }  # fmt: skip
    exponents: Mapping[str, str] = graph.metadata.get(EXPONENTS, {})
    keep = (*sums, *dict.fromkeys(exponents[n] for n in sums if n in exponents))
    engine, state = Engine(graph), dict(graph.states)
    for frames in batches:
        done = engine.run(input_codes(graph, frames), state or None, keep=keep)
        state = dict(done.state)
        (values,) = run_batches(folded, [frames])
        for name, entry in sums.items():
            exponent = done.tensors[exponents[name]] if name in exponents else None
            entry.add(values[name].double().numpy(), done.tensors[name], exponent)
    return tuple(entry.result() for entry in sums.values())


def decibels(signal: float, noise: float) -> float:
    """Return 10·log10(signal / noise); infinite without noise, minus infinite without signal."""
    if noise == 0.0:
        return math.inf
    return 10.0 * math.log10(signal / noise) if signal > 0.0 else -math.inf


def scored_tensors(folded: Graph) -> tuple[str, ...]:
    """Return the tensors by which widths are judged: the outputs, or what an index is taken of."""
    makers = folded.producers()
    found = []
    for name in folded.outputs:
        maker = makers.get(name)
        found.append(maker.inputs[0] if maker is not None and maker.op is Op.ARGMAX else name)
    return tuple(dict.fromkeys(found))


class _Sums:
    """What is added up over batches about one layer."""

    def __init__(self, layer: Layer, fmt: Format) -> None:
        self.layer, self.fmt = layer, fmt
        self.scale = float(fmt.scale.values().max())
        self.finest = math.inf
        self.count = self.low = self.high = 0
        self.absolute = self.largest = self.wanted = self.found = self.product = self.noise = 0.0
        self.least, self.most = 0.0, 0.0
        self.points: list[FloatArray] = []

    def add(self, wanted: FloatArray, codes: IntArray, exponent: IntArray | None) -> None:
        """Add a batch; `exponent` (batch, 1) scales a frame's step by a power of two."""
        factor: FloatArray = np.ones((len(codes),) + (1,) * (codes.ndim - 1))
        if exponent is not None:
            factor = np.exp2(exponent.astype(np.float64)).reshape(factor.shape)
        found = dequantize(codes, self.fmt) * factor
        error, half = wanted - found, 0.5 * self.scale * factor
        self.finest = min(self.finest, self.scale * float(factor.min(initial=np.inf)))
        self.count += wanted.size
        self.absolute += float(np.abs(error).sum())
        self.largest = max(self.largest, float(np.abs(error).max(initial=0.0)))
        self.wanted += float((wanted**2).sum())
        self.found += float((found**2).sum())
        self.product += float((wanted * found).sum())
        self.noise += float((error**2).sum())
        self.low += int(np.count_nonzero((codes == self.fmt.lo) & (error < -half)))
        self.high += int(np.count_nonzero((codes == self.fmt.hi) & (error > half)))
        self.least = min(self.least, float(wanted.min(initial=0.0)))
        self.most = max(self.most, float(wanted.max(initial=0.0)))
        self.points.append(_thinned(np.stack([wanted.ravel(), found.ravel()], axis=1)))

    def result(self) -> LayerError:
        """Return the figures."""
        norms = math.sqrt(self.wanted * self.found)
        cosine = self.product / norms if norms else float(self.wanted == self.found)
        span = self.most - self.least
        relative = self.largest / span if span else (math.inf if self.largest else 0.0)
        return LayerError(
            self.layer, self.fmt.name, self.finest, self.count,
            self.absolute / max(1, self.count), self.largest, decibels(self.wanted, self.noise),
            cosine, relative, self.low, self.high, _thinned(np.concatenate(self.points)),
        )  # fmt: skip


def _thinned(points: FloatArray) -> FloatArray:
    """Return at most `POINTS` rows, evenly spaced, the one with the largest error among them."""
    if len(points) <= POINTS:
        return points
    kept = np.linspace(0, len(points) - 1, POINTS).astype(np.int64)
    kept[0] = int(np.abs(points[:, 0] - points[:, 1]).argmax())
    return points[kept]
