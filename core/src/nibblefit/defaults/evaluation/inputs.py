"""Test inputs: read in batches, quantized once, and outputs turned back into real values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nibblefit.data.source import Split
from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import IntArray, Rounding
from nibblefit.fixed.quantize import dequantize, quantize
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.run import Run
from nibblefit.training.batches import SplitReader

#: Memory that one batch of the judge may take, all tensors as int64.
_JUDGE_BYTES = 256 << 20

Batch = tuple[npt.NDArray[np.float32], Any]


def sample_count(run: Run, wanted: int) -> int:
    """Return how many test samples to use; `wanted` 0 means all."""
    available = len(run.data.split(Split.TEST))
    return min(wanted or available, available)


def test_batches(run: Run, count: int, batch_size: int) -> Iterator[Batch]:
    """Yield inputs and targets of the first `count` test samples."""
    reader = SplitReader(run.data, Split.TEST, run.task)
    for start in range(0, count, batch_size):
        inputs, target = reader.read(np.arange(start, min(start + batch_size, count)))
        yield inputs.numpy(), target


def input_codes(graph: QuantizedGraph, real: npt.NDArray[np.float32]) -> Mapping[str, IntArray]:
    """Return the codes of real inputs, by the input's format and the graph's input rounding."""
    rounding = Rounding(graph.metadata.get("input_rounding", Rounding.HALF_EVEN.value))
    if len(graph.inputs) != 1:
        raise UnsupportedError(
            f"the graph '{graph.name}' has {len(graph.inputs)} inputs; data sets give one",
            hint="join the inputs in the network, and take them apart with a slice",
        )
    name = graph.inputs[0]
    return {name: quantize(real, graph.tensors[name].format, rounding)}


def real_outputs(graph: QuantizedGraph, outputs: Mapping[str, IntArray]) -> Sequence[torch.Tensor]:
    """Return output codes as the real values they mean, float32, in the graph's order."""
    return tuple(
        torch.from_numpy(dequantize(outputs[name], graph.tensors[name].format)).float()
        for name in graph.outputs
    )


def judge_batch(graph: QuantizedGraph, batch_size: int) -> int:
    """Return a batch size at which all tensors together fit in bounded memory."""
    constants = graph.constants
    sizes = (math.prod(t.shape) for name, t in graph.tensors.items() if name not in constants)
    return max(1, min(batch_size, _JUDGE_BYTES // (8 * max(1, sum(sizes)))))
