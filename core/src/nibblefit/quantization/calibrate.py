"""One pass over calibration data: a histogram of every tensor that needs a format."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping

import numpy as np
import numpy.typing as npt
import torch

from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph
from nibblefit.nn.network import Network
from nibblefit.quantization.histogram import Histogram

#: Values of one sample and tensor that are counted; larger tensors are sampled at a stride.
COUNTED_VALUES = 16384

Batches = Iterable[npt.NDArray[np.float32]]


def observe(
    graph: Graph,
    batches: Batches,
    tensors: Collection[str],
    *,
    on_batch: Callable[[int], None] | None = None,
) -> dict[str, Histogram]:
    """Run the float graph over all batches and return a histogram per tensor.

    Memory is that of one batch plus one histogram per tensor. The extremes are exact; of tensors
    with more than `COUNTED_VALUES` values a sample, every n-th value is counted. The result does
    not depend on the batch size beyond float32 rounding of the network itself.

    Args:
        graph: A folded graph (`nibblefit.quantization.fold`).
        batches: Inputs (count, channels, *spatial); for several inputs, see `run_batches`.
        tensors: Names of the tensors to observe.
        on_batch: Called with the number of samples of each finished batch.

    Raises:
        InputError: There is no calibration data, or a value is not finite.
    """
    found = {name: Histogram() for name in tensors}
    for values in run_batches(graph, batches):
        count = next(iter(values.values())).shape[0]
        for name, histogram in found.items():
            _count(name, histogram, values[name])
        if on_batch is not None:
            on_batch(count)
    if any(histogram.total == 0 for histogram in found.values()):
        raise InputError(
            "there is no calibration data",
            hint="the training split is empty; check [data] and quantize.calibration_samples",
        )
    return found


def run_batches(graph: Graph, batches: Batches) -> Iterable[Mapping[str, torch.Tensor]]:
    """Yield every tensor of the float graph by name, one mapping per batch."""
    network = Network(graph).eval()
    with torch.inference_mode():
        for batch in batches:
            yield network.forward_all(torch.from_numpy(np.ascontiguousarray(batch, np.float32)))


def _count(name: str, histogram: Histogram, values: torch.Tensor) -> None:
    flat = values.reshape(values.shape[0], -1)
    lo, hi = torch.aminmax(flat)
    try:
        histogram.extend_range(float(lo), float(hi))
    except InputError as error:
        raise InputError(f"tensor '{name}': {error.what}", hint=error.hint) from None
    histogram.add(flat[:, :: _stride(flat.shape[1])])


def _stride(size: int) -> int:
    """Return a stride that leaves at most COUNTED_VALUES values and avoids whole rows."""
    stride = -(-size // COUNTED_VALUES)
    while math.gcd(stride, size) != 1:
        stride += 1
    return stride
