"""Integer evaluation of the vendor's networks: our engine beside the vendor tool's simulation."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.section import Grid, Section
from nibblefit.data.idx import read_idx
from nibblefit.engine import Engine
from nibblefit.fixed.formats import IntArray
from nibblefit.ir.compare import require_equal
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.ir.reference import run
from nibblefit_maxim.parts import MAX78000
from nibblefit_maxim.reading.network import read_files

#: Milliseconds per image that the vendor's compiler (ai8x-synthesis) takes to simulate a network,
#: measured on a machine of two cores; the project's requirement names these two figures.
VENDOR_MS = {"mnist": 7.8, "kws20-v3": 32.0}
#: The least ratio that is required.
AT_LEAST = 50.0
IMAGES = 1000
ROUNDS = 7
SEED = 1
#: Images compared with the judge at a time; it keeps every tensor in 64 bits.
COMPARED_AT_ONCE = 100


@dataclass(frozen=True)
class Timing:
    """One network with one number of threads: milliseconds per image, median of the rounds."""

    network: str
    threads: int
    milliseconds: float

    @property
    def ratio(self) -> float:
        """How many times faster than the vendor's tool."""
        return VENDOR_MS[self.network] / self.milliseconds


def inputs_of(name: str, shape: tuple[int, ...], mnist: Path) -> tuple[IntArray, str]:
    """Return input codes and what they are: MNIST's test images, or seeded random codes.

    A pixel u of MNIST enters the network as u - 128.
    """
    if name == "mnist":
        pixels = read_idx(mnist / "t10k-images-idx3-ubyte.gz", axes=3)[:IMAGES]
        codes = pixels.astype(np.int64)[:, None] - 128
        return codes, "the first test images of MNIST"
    random = np.random.default_rng(SEED)
    return random.integers(-128, 128, (IMAGES, *shape)), f"random codes, seed {SEED}"


def load(folder: Path) -> QuantizedGraph:
    """Return the integer graph of the vendor's YAML and checkpoint."""
    with np.load(folder / "input.npz") as arrays:
        shape = arrays["x"].shape
    return read_files(folder / "net.yaml", folder / "quantized.pth.tar", shape, MAX78000)


def compared_with_judge(graph: QuantizedGraph, codes: IntArray) -> int:
    """Compare engine and judge on every tensor, and return how many integers were compared.

    Raises:
        MismatchError: An integer differs.
    """
    engine, count = Engine(graph), 0
    for begin in range(0, len(codes), COMPARED_AT_ONCE):
        inputs = {graph.inputs[0]: codes[begin : begin + COMPARED_AT_ONCE]}
        expected = run(graph, inputs).tensors
        require_equal(expected, engine.run(inputs, keep="all").tensors, graph)
        count += sum(tensor.size for tensor in expected.values())
    return count


def measure(graph: QuantizedGraph, name: str, codes: IntArray, threads: int) -> Timing:
    """Time the evaluation of all images in one call, results of the network's outputs."""
    engine, inputs, seconds = Engine(graph, threads=threads), {graph.inputs[0]: codes}, []
    engine.run(inputs)
    for _ in range(ROUNDS):
        started = time.perf_counter()
        engine.run(inputs)
        seconds.append(time.perf_counter() - started)
    return Timing(name, threads, 1e3 * statistics.median(seconds) / len(codes))


def integer_evaluation(nets: Path, mnist: Path) -> Section:
    """Measure both networks with one thread and with two."""
    rows = []
    for name, vendor in VENDOR_MS.items():
        graph = load(nets / name)
        codes, described = inputs_of(name, graph.tensors[graph.inputs[0]].shape, mnist)
        compared = compared_with_judge(graph, codes)
        for threads in (1, 2):
            timing = measure(graph, name, codes, threads)
            rows.append([
                name, described, threads, f"{timing.milliseconds:.4f}",
                f"{vendor:g}", f"{timing.ratio:,.0f}×",
                "yes" if timing.ratio >= AT_LEAST else "NO", f"{compared:,}",
            ])  # fmt: skip
    columns = ("network", "input", "threads", "ms per image", "vendor's tool, ms", "ratio",
               f"at least {AT_LEAST:g}×", "integers equal to the judge's")  # fmt: skip
    note = (
        f"{IMAGES:,} images in one call; median of {ROUNDS} calls. The vendor's tool: simulation "
        "of one image by its compiler, on a machine of two cores. Before timing, the engine is "
        "compared with the judge on every integer of every layer of all images; a difference stops "
        "the benchmark."
    )
    return Section(
        "maxim_engine", "MAX78000 integer evaluation", "make bench", [Grid("", columns, rows, note)]
    )
