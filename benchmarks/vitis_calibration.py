"""Calibration of ResNet-18 beside its peers: time, memory and signal to noise, in one run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.resnet18 import resnet18
from benchmarks.section import Grid, Section
from benchmarks.vitis_contenders import CONTENDERS, batches
from nibblefit.nn.capture import capture
from nibblefit.nn.network import Network
from nibblefit.nn.onnx_export import export_onnx
from nibblefit.quantization.fold import fold

IMAGES, SHAPE = 64, (3, 224, 224)
#: Rounds; all contenders take their turn in each, and the fastest round counts.
ROUNDS = 3
#: A Python that has amd-quark, where it is not in the one that runs this.
QUARK_PYTHON = "QUARK_PYTHON"


def write_material(folder: Path) -> None:
    """Write the network (batch norm folded), the images and the float scores."""
    graph = fold(capture(resnet18(), SHAPE))
    images = torch.randn(IMAGES, *SHAPE, generator=torch.Generator().manual_seed(1)).numpy()
    export_onnx(graph, folder / "network.onnx")
    np.save(folder / "images.npy", images)
    network = Network(graph).eval()
    with torch.inference_mode():
        scores = [network(torch.from_numpy(x))[0].numpy() for x in batches(images)]
    np.save(folder / "scores.npy", np.concatenate(scores))


def run(name: str, folder: Path) -> dict[str, Any]:
    """Return what a contender's own process measured, or why it was skipped."""
    python = os.environ.get(QUARK_PYTHON, sys.executable) if "Quark" in name else sys.executable
    script = Path(__file__).with_name("vitis_contenders.py")
    done = subprocess.run(
        [python, str(script), name, str(folder)], capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        return {"skipped": (done.stderr.strip().splitlines() or ["it failed"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def calibration_race(rounds: int = ROUNDS) -> Section:
    """Measure every contender and return the section of the results page."""
    best: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_material(folder)
        for _ in range(rounds):
            for name in CONTENDERS:
                if "skipped" in best.get(name, {}):
                    continue
                found = run(name, folder)
                print(f"{name}: {found}", flush=True)
                if name not in best or found.get("seconds", 0) < best[name]["seconds"]:
                    best[name] = found
    rows = [
        [name, f"{one['seconds']:.1f}", f"{one['gigabytes']:.2f}", f"{one['decibels']:.1f}"]
        for name, one in best.items()
        if "skipped" not in one
    ]
    left_out = [f"{name}: {one['skipped']}" for name, one in best.items() if "skipped" in one]
    note = (
        f"ResNet-18 with random weights (seed 0, batch norm folded), {IMAGES} seeded images of "
        "3 × 224 × 224 in batches of 8, each contender in a process of its own; the fastest of "
        f"{rounds} rounds. Memory is the peak above the loaded model, images and libraries. Signal "
        "to noise is that of the outputs on the same images; ours are executed as integers. Power "
        "of two: equalization and bias correction included. Float scale: a scale per channel of "
        "weights, zero points for activations, one pass."
    )
    if left_out:
        note += " Skipped: " + "; ".join(left_out) + "."
    return Section(
        "vitis_calibration", "Vitis: calibration beside its peers", "make bench",
        [Grid("", ("quantizer", "seconds", "peak GB", "SQNR [dB]"), rows)], note,
    )  # fmt: skip


if __name__ == "__main__":
    print(calibration_race(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS).text())
