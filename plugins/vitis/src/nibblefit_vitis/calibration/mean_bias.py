"""Mean outputs of layers, from the mean of what they read.

A convolution is linear, so the mean of its outputs over samples is the output of the mean sample:
one convolution of one image, whatever the number of samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import torch
from torch import Tensor

from nibblefit.ir.attributes import window_of
from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.nn.execute import outputs_of
from nibblefit.nn.execute.padding import pad_spatial


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
        self._names = {node.name for node in self._layers}
        self._first_readers = {node.inputs[0]: node.name for node in reversed(self._layers)}
        self._sums: dict[str, Tensor] = {}
        self._samples = 0

    def is_first_reader(self, node: Node) -> bool:
        """Return whether what a node reads is wanted, and no layer before it reads the same."""
        return bool(node.inputs) and self._first_readers.get(node.inputs[0]) == node.name

    def add_sums(self, sums: Mapping[str, Tensor], samples: int) -> None:
        """Add sums over samples, by name of the tensor, and how many samples they are of."""
        for name, total in sums.items():
            self._sums[name] = self._sums[name] + total if name in self._sums else total
        self._samples += samples

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
    (found,) = outputs_of(node, (mean[None], weights))
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
