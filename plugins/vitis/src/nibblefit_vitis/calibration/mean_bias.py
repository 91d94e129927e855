"""Bias correction in closed form: the mean error that rounded weights leave, over all samples.

A convolution is linear, so the mean of its error over samples is the error of the mean sample: one
convolution of one image with the weights' rounding errors, whatever the number of samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nibblefit.ir.attributes import window_of
from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.nn.execute.padding import pad_spatial
from nibblefit_vitis.formats import TensorFormat
from nibblefit_vitis.settings import Kind, NetworkSetting
from nibblefit_vitis.simulation.effective import effective
from nibblefit_vitis.simulation.operators import run_operator
from nibblefit_vitis.simulation.quantizer import quantizer


class MeanInputs:
    """The mean sample that each layer with a bias reads.

    Args:
        graph: A prepared float graph.
    """

    def __init__(self, graph: Graph) -> None:
        self._layers = [
            node for node in graph.nodes
            if node.op in WEIGHTED and len(node.inputs) > 2
            and all(name in graph.constants for name in node.inputs[1:])
        ]  # fmt: skip
        self._graph = graph
        self._names = {node.name for node in self._layers}
        self._first_readers = {node.inputs[0]: node.name for node in reversed(self._layers)}
        self._sums: dict[str, Tensor] = {}
        self._samples = 0

    def add(self, node: Node, values: Tensor) -> None:
        """Add a batch of what a node reads; tensors that several layers read count once."""
        if self.is_first_reader(node):
            self._add(node.inputs[0], values.sum(0).double())

    def is_first_reader(self, node: Node) -> bool:
        """Return whether what a node reads is wanted, and no layer before it reads the same."""
        return bool(node.inputs) and self._first_readers.get(node.inputs[0]) == node.name

    def add_sums(self, sums: Mapping[str, Tensor], samples: int) -> None:
        """Add sums over samples, by name of the tensor, and how many samples they are of."""
        for name, total in sums.items():
            self._add(name, total)
        self.count(samples)

    def _add(self, name: str, total: Tensor) -> None:
        self._sums[name] = self._sums[name] + total if name in self._sums else total

    def count(self, samples: int) -> None:
        """Note how many samples the last batch had."""
        self._samples += samples

    def corrections(
        self, setting: NetworkSetting, formats: Mapping[str, TensorFormat | None]
    ) -> dict[str, npt.NDArray[np.float64]]:
        """Return the mean error of every output channel, by name of the bias.

        Args:
            setting: Gives the rounding of weights.
            formats: Of the weights, by name.
        """
        found: dict[str, npt.NDArray[np.float64]] = {}
        for node in self._layers:
            fmt = formats.get(node.inputs[1])
            if fmt is None or node.inputs[2] in found:
                continue
            weights = torch.from_numpy(np.array(self._graph.constants[node.inputs[1]])).double()
            rounds = quantizer(fmt, effective(setting, node.name, Kind.WEIGHTS))
            mean = self._sums[node.inputs[0]] / self._samples
            missed = mean_output(node, mean, rounds.real(weights) - weights)
            found[node.inputs[2]] = missed.numpy()
        return found

    def of(self, node: Node) -> Tensor | None:
        """Return the mean sample that a layer reads; None unless it has weights and a bias."""
        if node.name not in self._names or node.inputs[0] not in self._sums:
            return None
        return self._sums[node.inputs[0]] / self._samples


def mean_output(node: Node, mean: Tensor, weights: Tensor) -> Tensor:
    """Return the mean of every output channel without bias, given the mean sample."""
    if node.op is Op.CONV:
        seen = _mean_windows(node, mean, tuple(weights.shape[2:]))
        groups = int(node.attributes.get("groups", 1))
        per_group = weights.reshape(groups, -1, weights[0].numel())
        return (per_group @ seen.reshape(groups, -1, 1)).reshape(-1)
    (found,) = run_operator(node, (mean[None], weights))
    axis = found.dim() - 1 if node.op is Op.LINEAR else 1
    return found.mean([one for one in range(found.dim()) if one != axis])


def _mean_windows(node: Node, mean: Tensor, kernel: tuple[int, ...]) -> Tensor:
    """Return the mean of what every weight of a kernel meets, (channels, places of the kernel)."""
    window = window_of(node.attributes, kernel)
    padded = pad_spatial(mean, window.begins(), window.ends())
    axes = tuple(range(1, padded.dim()))
    found = []
    for offsets in product(*map(range, kernel)):
        met = padded
        for axis, offset in enumerate(offsets):
            first, stride = offset * window.dilations[axis], window.strides[axis]
            reach = (kernel[axis] - 1) * window.dilations[axis]
            count = (padded.shape[axis + 1] - reach - 1) // stride
            met = met.narrow(axis + 1, first, count * stride + 1)
            met = met[(slice(None),) * (axis + 1) + (slice(None, None, stride),)]
        found.append(met.mean(axes))
    return torch.stack(found, 1)
