"""Automatic mixed precision: 16 bits where they help most, under a factor on latency.

Each layer that can change width is tried alone at 16 bits; what it takes off the error of the
outputs, over the time it adds, ranks it. Source of the interface: mixed_precision_factor of
edgeai-tidl-tools 11_00_06_00; the vendor's own ranking is not published.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from nibblefit.engine import Engine
from nibblefit.fixed.formats import Rounding
from nibblefit.fixed.quantize import dequantize, quantize
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.macs import graph_macs
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.quantization.calibrate import run_batches
from nibblefit.quantization.units import Unit
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.current.precision import (
    WIDE,
    Precision,
    candidates,
    deconvolutions_beyond,
    mixed,
)
from nibblefit_tidl.devices import Device

#: Time of a layer with 16 bits, in times of the same with 8. Source: user guide, "double or more".
WIDE_TIME = 2.0
#: Time of moving one value, in multiply-accumulates of the matrix unit; decides for layers
#: without any. An assumption.
VALUE_TIME = 16.0

_Frames = list[npt.NDArray[np.float32]]


def choose_precision(
    graph: Graph, parts: tuple[Unit, ...], quantized: Callable[[Precision], QuantizedGraph], *,
    frames: _Frames, options: TidlOptions, start: Precision, device: Device,
) -> Precision:  # fmt: skip
    """Return the widths with the least error under the factor on latency.

    Args:
        graph: The folded graph.
        parts: Its units.
        quantized: Makes the integer graph of some widths.
        frames: Inputs on which errors are measured.
        options: Names asked for, and the factor.
        start: Widths asked for by name; they stay and count.
        device: Widths that it lacks are not tried.
    """
    assert options.mixed_precision_factor is not None
    times = unit_times(graph, parts)
    base = sum(times.values())
    measure = _Error(graph, frames)
    reference = measure(quantized(start))
    ranked = []
    for unit in candidates(parts):
        name = unit.tensors[0]
        asked = (*options.output_feature_16bit_names, name)
        widths = mixed(graph, parts, asked, options.params_16bit_names)
        added = latency(parts, times, widths) - latency(parts, times, start)
        if added > 0 and not deconvolutions_beyond(parts, widths, device):
            gain = reference - measure(quantized(widths))
            ranked.append((gain / added, name))
    chosen: tuple[str, ...] = ()
    best, least = start, reference
    for gain, name in sorted(ranked, key=lambda entry: (-entry[0], entry[1])):
        asked = (*options.output_feature_16bit_names, *chosen, name)
        widths = mixed(graph, parts, asked, options.params_16bit_names)
        if gain <= 0 or latency(parts, times, widths) > options.mixed_precision_factor * base:
            continue
        error = measure(quantized(widths))
        if error < least:
            chosen, best, least = (*chosen, name), widths, error
    added_lines = tuple(f"automatic mixed precision: 16 bits for '{name}'" for name in chosen)
    return replace(best, notes=(*start.notes, *added_lines), tensors=frozen_mapping(best.tensors))


def unit_times(graph: Graph, parts: tuple[Unit, ...]) -> dict[str, float]:
    """Return the relative time of every unit at 8 bits, by its node's name."""
    macs = graph_macs(graph)
    return {
        unit.node.name: macs[unit.node.name]
        + VALUE_TIME * float(np.prod(graph.shapes[unit.tensors[0]]))
        for unit in parts
    }


def latency(parts: tuple[Unit, ...], times: dict[str, float], precision: Precision) -> float:
    """Return the relative time of a network: 16 bits anywhere in a layer double its time."""
    wide = {
        unit.node.name for unit in parts
        if precision.of_weights(unit.node.name) == WIDE
        or any(precision.of_tensor(name) == WIDE for name in (*unit.node.inputs, *unit.tensors))
    }  # fmt: skip
    return sum(time * (WIDE_TIME if name in wide else 1.0) for name, time in times.items())


class _Error:
    """Mean squared error of the outputs against the float network."""

    def __init__(self, graph: Graph, frames: _Frames) -> None:
        self._frames = np.concatenate(frames)
        found: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in graph.outputs}
        for values in run_batches(graph, frames):
            for name in graph.outputs:
                found[name].append(values[name].double().numpy())
        self._wanted = {name: np.concatenate(parts) for name, parts in found.items()}

    def __call__(self, graph: QuantizedGraph) -> float:
        (name,) = graph.inputs
        rounding = Rounding(graph.metadata["input_rounding"])
        codes = quantize(self._frames, graph.tensors[name].format, rounding)
        done = Engine(graph).run({name: codes}).outputs
        errors = [
            np.mean((dequantize(done[out], graph.tensors[out].format) - wanted) ** 2)
            for out, wanted in self._wanted.items()
        ]
        return float(np.sum(errors))
