"""The trained MLPerf Tiny networks on the DPU: signal to noise with and without equalization."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.mlperf_tiny import RANGES, SAMPLES, SEED, inputs_of
from benchmarks.section import Grid, Section
from nibblefit.engine import Engine
from nibblefit.fixed.formats import IntArray, Rounding
from nibblefit.fixed.quantize import quantize
from nibblefit.ir import reference
from nibblefit.ir.compare import require_equal
from nibblefit.ir.graph import Graph
from nibblefit.nn.onnx_import import import_onnx
from nibblefit.quantization.noise import Noise, signal_to_noise
from nibblefit_vitis.configuration.recipe_tables import configuration_of
from nibblefit_vitis.configuration.resolve import resolve
from nibblefit_vitis.preparation import prepare_graph
from nibblefit_vitis.quantize.pipeline import quantize_network, ready

BATCH = 16


@dataclass(frozen=True, slots=True)
class Result:
    """One network quantized once.

    Attributes:
        noise: Signal to noise of every tensor, against the prepared network.
        whole: That of the last tensor before softmax, against the network as it came.
        pairs: Pairs of layers that were equalized.
        compared: Integers on which engine and judge were compared, and agreed.
        seconds: Time for preparation, calibration, correction and lowering.
    """

    noise: tuple[Noise, ...]
    whole: float
    pairs: int
    compared: int
    seconds: float


def measure(folder: Path) -> Section:
    """Quantize every network twice with the default configuration of KV260."""
    rows, layers = [], []
    for name in RANGES:
        graph = import_onnx(folder / f"{name}.onnx")
        inputs = inputs_of(name, graph.shapes[graph.inputs[0]])
        plain, equalized = (quantized(graph, inputs, equalize=on) for on in (False, True))
        rows.append([
            name, f"{plain.whole:.1f}", f"{equalized.whole:.1f}", str(equalized.pairs),
            _worst(plain), _worst(equalized), f"{plain.compared + equalized.compared:,}",
            f"{equalized.seconds:.1f}",
        ])  # fmt: skip
        layers.append(_layers(name, plain, equalized))
    columns = ("network", "whole, without, dB", "whole, equalized, dB", "pairs equalized",
               "worst tensor without", "worst tensor equalized", "integers compared",
               "time s")  # fmt: skip
    note = (
        f"{SAMPLES} uniform inputs (seed {SEED}) in the ranges stated by the networks' authors, "
        "used for calibration and for measuring; default configuration (8 bits, powers of two, "
        "bias correction). Uniform noise is not what these networks were trained on: the figures "
        "compare two settings, they do not foretell accuracy. Whole: the last tensor before "
        "softmax where there is one, against the network as it came. Tensors: against the prepared "
        "network, because equalization moves factors between layers. Engine and judge are compared "
        "on every integer of every tensor; a difference would stop the measurement. Time: "
        "preparation to integers, with equalization."
    )
    return Section("vitis_mlperf", "MLPerf Tiny networks on the DPU", "make results",
                   [Grid("", columns, rows, note), *layers])  # fmt: skip


def quantized(graph: Graph, inputs: npt.NDArray[np.float32], *, equalize: bool) -> Result:
    """Quantize a network, and compare engine, judge and float network on every tensor."""
    target = {"configuration": "", "settings": {"include_cle": equalize}, "parity": False}
    setting, _ = resolve(configuration_of(target, {}, Path()), graph, parity=False)
    batches = [inputs[i : i + BATCH] for i in range(0, len(inputs), BATCH)]
    started = time.monotonic()
    found = quantize_network(graph, setting, lambda: batches)
    seconds = time.monotonic() - started
    integers, compared = found.graph, 0
    (name,) = integers.inputs
    engine = Engine(integers)

    def execute(real: npt.NDArray[np.float32]) -> dict[str, IntArray]:
        nonlocal compared
        fmt = integers.tensors[name].format
        codes = {name: quantize(real, fmt, Rounding.HALF_AWAY)}
        judged = reference.run(integers, codes).tensors
        made = engine.run(codes, keep="all").tensors
        require_equal(judged, made, integers)
        compared += sum(int(tensor.size) for tensor in judged.values())
        return dict(made)

    noise = signal_to_noise(ready(graph, setting).graph, integers, batches, execute)
    counted = compared
    against = {n.tensor: n for n in signal_to_noise(graph, integers, batches, execute)}
    before = [n for n in noise if n.tensor not in integers.outputs or not _softmax(graph)]
    return Result(tuple(noise), against[before[-1].tensor].decibels,
                  len(prepare_graph(graph, setting).equalized), counted, seconds)  # fmt: skip


def _softmax(graph: Graph) -> bool:
    return any(node.op.value == "softmax" for node in graph.nodes)


def _worst(result: Result) -> str:
    worst = min(result.noise, key=lambda entry: entry.decibels)
    return f"{worst.tensor} ({worst.decibels:.1f})"


def _layers(name: str, plain: Result, equalized: Result) -> Grid:
    other = {entry.tensor: entry.decibels for entry in equalized.noise}
    rows = [
        [entry.tensor, f"{entry.decibels:.1f}", f"{other[entry.tensor]:.1f}"]
        for entry in plain.noise
    ]
    return Grid(f"{name}: signal to noise per tensor", ("tensor", "without, dB", "equalized, dB"),
                rows)  # fmt: skip
