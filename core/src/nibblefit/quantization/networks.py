"""Quantize a whole network on given inputs and prove engine and judge equal on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nibblefit.engine import Engine
from nibblefit.fixed.quantize import quantize
from nibblefit.ir import reference
from nibblefit.ir.compare import require_equal
from nibblefit.ir.graph import Graph
from nibblefit.ir.numerics import Numerics
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.quantization.build import quantize_network
from nibblefit.quantization.noise import Noise, signal_to_noise
from nibblefit.quantization.settings import Settings
from nibblefit.quantization.settings import settings as defaults


@dataclass(frozen=True, slots=True)
class NetworkResult:
    """What came out of quantizing one network.

    Attributes:
        graph: The integer graph.
        noise: Signal-to-noise ratio of every tensor on the calibration inputs.
        compared: Integers on which engine and judge were compared, and agreed.
    """

    graph: QuantizedGraph
    noise: tuple[Noise, ...]
    compared: int


def quantize_and_measure(
    graph: Graph,
    numerics: Numerics,
    inputs: npt.NDArray[np.float32],
    settings: Settings | None = None,
    *,
    batch_size: int = 8,
    target: str = "generic",
) -> NetworkResult:
    """Quantize a float network on `inputs`, measure noise on them, compare engine and judge.

    Args:
        graph: Float network with one input.
        numerics: Arithmetic of the target.
        inputs: Real inputs (count, channels, *spatial): calibration and measurement.
        settings: Range method and widths; None is the default method.
        batch_size: Inputs per pass.
        target: Name of the target.

    Raises:
        MismatchError: Engine and judge differ anywhere.
    """
    batches = [inputs[i : i + batch_size] for i in range(0, len(inputs), batch_size)]
    quantized = quantize_network(graph, numerics, batches, settings or defaults(), target=target)
    engine, compared = Engine(quantized), 0
    (name,) = quantized.inputs
    fmt = quantized.tensors[name].format

    def execute(real: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.int64]]:
        nonlocal compared
        codes = {name: quantize(real, fmt, numerics.inputs.rounding)}
        judged = reference.run(quantized, codes).tensors
        found = engine.run(codes, keep="all").tensors
        require_equal(judged, found, quantized)
        compared += sum(int(tensor.size) for tensor in judged.values())
        return dict(found)

    noise = signal_to_noise(graph, quantized, batches, execute)
    return NetworkResult(quantized, tuple(noise), compared)
