"""The trained MLPerf Tiny networks, quantized by `generic`: signal to noise and exactness."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.section import Grid, Section
from nibblefit.nn.onnx_import import import_onnx
from nibblefit.quantization.networks import NetworkResult, quantize_and_measure
from nibblefit.targets.generic_options import GenericOptions, numerics_of

SAMPLES = 64
SEED = 1
#: File → range of real inputs, from the data set's README.
RANGES = {
    "resnet8": (0.0, 255.0),
    "ds_cnn": (-123.4, 25.7),
    "mobilenet_v1_025_96": (0.0, 1.0),
    "autoencoder": (-84.9, 14.9),
}


def inputs_of(name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return seeded inputs in the network's range; pixels of `resnet8` are whole numbers."""
    random = np.random.default_rng(SEED)
    low, high = RANGES[name]
    values = random.uniform(low, high, (SAMPLES, *shape))
    return np.asarray(np.round(values) if name == "resnet8" else values, np.float32)


def measure(folder: Path) -> Section:
    """Quantize every network with both kinds of scale."""
    rows, layers = [], []
    for name in RANGES:
        graph = import_onnx(folder / f"{name}.onnx")
        for scales in ("power_of_two", "float"):
            numerics = numerics_of(GenericOptions(scales=scales))
            started = time.monotonic()
            result = quantize_and_measure(
                graph, numerics, inputs_of(name, graph.shapes[graph.inputs[0]])
            )
            seconds = time.monotonic() - started
            rows.append(_row(name, scales, result, seconds))
            if scales == "power_of_two":
                layers.append(_layers(name, result))
    grid = Grid(
        "",
        ("network", "scales", "output SQNR dB", "worst layer", "integers compared", "differing",
         "time s"),
        rows,
        f"{SAMPLES} uniform inputs (seed {SEED}) in the ranges stated by the networks' authors, "
        "used for calibration and for measuring. Uniform noise is not what these networks were "
        "trained on: the figures show that nothing is broken, not what accuracy to expect. SQNR is "
        "that of the last tensor before softmax where there is one. Engine and judge are compared "
        "on every integer of every tensor; a difference would stop the measurement.",
    )  # fmt: skip
    return Section("mlperf_tiny", "MLPerf Tiny networks, int8", "make results", [grid, *layers])


def _row(name: str, scales: str, result: NetworkResult, seconds: float) -> list[str]:
    worst = min(result.noise, key=lambda entry: entry.decibels)
    before = [n for n in result.noise if n.tensor not in result.graph.outputs] or result.noise
    last = before[-1] if name != "autoencoder" else result.noise[-1]
    return [
        name, scales, f"{last.decibels:.1f}", f"{worst.tensor} ({worst.decibels:.1f})",
        f"{result.compared:,}", "0", f"{seconds:.1f}",
    ]  # fmt: skip


def _layers(name: str, result: NetworkResult) -> Grid:
    rows = [[entry.tensor, f"{entry.decibels:.1f}"] for entry in result.noise]
    return Grid(f"{name}: signal to noise per tensor, power-of-two scales", ("tensor", "dB"), rows)
