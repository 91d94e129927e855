"""Runs a network quantized for the current generation through all executions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from tests.tidl.networks import samples

from nibblefit.engine import Engine
from nibblefit.fixed.formats import IntArray, Rounding
from nibblefit.fixed.quantize import quantize
from nibblefit.ir import reference
from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.quantization.noise import signal_to_noise
from nibblefit.quantization.twin import Twin
from nibblefit_tidl.current.modes import mode_of
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.current.quantize import Quantized, quantize_network
from nibblefit_tidl.devices import device_named


def quantized(graph: Graph, part: str = "am68a", **options: object) -> Quantized:
    """Quantize a network on a few samples, without bias calibration unless asked for."""
    chosen = TidlOptions(**{"calibration_iterations": 0, **options})
    return quantize_network(graph, mode_of(device_named(part), chosen), chosen, [samples(graph)])


def executed(graph: QuantizedGraph, real: npt.NDArray[np.float32]) -> dict[str, IntArray]:
    """Return every tensor, after engine and twin proved equal to the judge."""
    (name,) = graph.inputs
    rounding = Rounding(graph.metadata["input_rounding"])
    codes = {name: quantize(real, graph.tensors[name].format, rounding)}
    judged = dict(reference.run(graph, codes).tensors)
    engine = Engine(graph).run(codes, keep="all").tensors
    twin = Twin(graph)(torch.from_numpy(codes[name]))
    for tensor, expected in judged.items():
        assert np.array_equal(expected, engine[tensor]), tensor
        assert np.array_equal(expected, twin[tensor].numpy()), tensor
    return judged


def decibels(model: Graph, graph: QuantizedGraph) -> dict[str, float]:
    """Return the signal to noise of every tensor."""
    found = signal_to_noise(model, graph, [samples(model)], lambda real: executed(graph, real))
    return {item.tensor: item.decibels for item in found}
