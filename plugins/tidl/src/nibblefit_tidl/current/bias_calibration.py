"""Bias calibration: the mean error of every channel goes into the layer's bias, little by little.

Each round runs the integer network on the calibration frames; with d the difference of a channel's
mean to the float network's, ``bias += factor · d``. Source: TIDL importer (2025); factor and
number of rounds from edgeai-tidl-tools 11_00_06_00.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from nibblefit.engine import Engine
from nibblefit.errors import GraphError
from nibblefit.fixed.formats import FloatArray, Format, Rounding
from nibblefit.fixed.quantize import dequantize, quantize
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.legal import check_quantized
from nibblefit.ir.ops import WEIGHTED
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.quantization.assign import output_channel_axis
from nibblefit.quantization.calibrate import run_batches
from nibblefit.quantization.units import Unit
from nibblefit_tidl.current.options import TidlOptions

_Frames = list[npt.NDArray[np.float32]]


def calibrate_biases(graph: Graph, parts: tuple[Unit, ...], quantized: QuantizedGraph,
                     frames: _Frames, options: TidlOptions) -> QuantizedGraph:  # fmt: skip
    """Return the graph with corrected biases; layers without a bias are left alone.

    The round whose outputs are nearest to the float network's, the start included, is kept.

    Args:
        graph: The folded float graph.
        parts: Its units.
        quantized: The integer graph made of them.
        frames: Calibration inputs in batches.
        options: Number of rounds and factor.
    """
    layers = [u for u in parts if u.node.op in WEIGHTED and u.node.inputs[2:3]]
    layers = [u for u in layers if quantized.node(u.node.name).inputs[2] in quantized.constants]
    if not layers or not frames:
        return quantized
    return _Rounds(graph, layers, quantized, frames).run(
        options.calibration_iterations, options.bias_calibration_factor
    )


class _Rounds:
    def __init__(self, graph: Graph, layers: list[Unit], quantized: QuantizedGraph,
                 frames: _Frames) -> None:  # fmt: skip
        self.layers, self.quantized, self.frames = layers, quantized, frames
        self.axes = {u.tensors[0]: output_channel_axis(u.node, graph) for u in layers}
        self.tensors = tuple(dict.fromkeys((*self.axes, *graph.outputs)))
        means, self.wanted = _Means(self.axes), []
        for values in run_batches(graph, frames):
            means.add({name: values[name].double().numpy() for name in self.axes})
            self.wanted.append({n: values[n].numpy() for n in graph.outputs})
        self.means = means.result()
        self.biases = {u.node.name: self._real_bias(u) for u in layers}

    def run(self, rounds: int, factor: float) -> QuantizedGraph:
        best = self.quantized
        means, least = self._measured(best)
        for _ in range(rounds):
            for unit in self.layers:
                tensor = unit.tensors[0]
                self.biases[unit.node.name] += factor * (self.means[tensor] - means[tensor])
            changed = self._with_biases()
            if changed is None:
                break
            means, error = self._measured(changed)
            if error < least:
                best, least = changed, error
        return best

    def _real_bias(self, unit: Unit) -> FloatArray:
        codes = self.quantized.constants[self._place(unit)]
        return dequantize(codes, self._format(unit)).copy()

    def _place(self, unit: Unit) -> str:
        return self.quantized.node(unit.node.name).inputs[2]

    def _format(self, unit: Unit) -> Format:
        return self.quantized.tensors[self._place(unit)].format

    def _with_biases(self) -> QuantizedGraph | None:
        """Return the graph with the current biases; None if an accumulator cannot hold them."""
        constants = dict(self.quantized.constants)
        for unit in self.layers:
            codes = np.array(quantize(self.biases[unit.node.name], self._format(unit),
                                      Rounding.HALF_AWAY))  # fmt: skip
            codes.flags.writeable = False
            constants[self._place(unit)] = codes
        changed = replace(self.quantized, constants=frozen_mapping(constants))
        try:
            check_quantized(changed)
        except GraphError:
            return None
        return changed

    def _measured(self, graph: QuantizedGraph) -> tuple[dict[str, FloatArray], float]:
        """Return the channels' means of every layer, and the squared error of the outputs."""
        engine, means, error = Engine(graph), _Means(self.axes), 0.0
        (name,) = graph.inputs
        rounding = Rounding(graph.metadata["input_rounding"])
        for frames, wanted in zip(self.frames, self.wanted, strict=True):
            codes = {name: quantize(frames, graph.tensors[name].format, rounding)}
            done = engine.run(codes, keep=self.tensors).tensors
            real = {n: dequantize(done[n], graph.tensors[n].format) for n in self.tensors}
            means.add(real)
            error += sum(float(np.sum((real[n] - values) ** 2)) for n, values in wanted.items())
        return means.result(), error


class _Means:
    """Mean of every channel over batches that are seen one after the other."""

    def __init__(self, axes: Mapping[str, int]) -> None:
        self._axes = axes
        self._sums: dict[str, FloatArray] = {}
        self._counts = dict.fromkeys(axes, 0)

    def add(self, tensors: Mapping[str, FloatArray]) -> None:
        for name, axis in self._axes.items():
            values = tensors[name]
            rest = tuple(place for place in range(values.ndim) if place != axis)
            self._sums[name] = self._sums.get(name, 0.0) + values.sum(axis=rest)
            self._counts[name] += values.size // values.shape[axis]

    def result(self) -> dict[str, FloatArray]:
        return {name: total / self._counts[name] for name, total in self._sums.items()}
