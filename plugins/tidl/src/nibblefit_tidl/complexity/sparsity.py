"""How many weights are zero: one number in three meanings, which TI's documents mix.

Logs print zeros over weights (80.5 % for the published JacintoNet11), performance tables a mean
over layers (73.15 %), and what the hardware saves follows the operations (75.2 %).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode
from nibblefit_tidl.complexity.macs import convolution_macs


@dataclass(frozen=True, slots=True)
class LayerSparsity:
    """Zeros of one convolution.

    Attributes:
        name: Node of the graph.
        zeros, weights: Counts.
        macs: Multiply-accumulates for one input, zeros included.
    """

    name: str
    zeros: int
    weights: int
    macs: int

    @property
    def share(self) -> float:
        """Zeros over weights, 0 to 1."""
        return self.zeros / self.weights


@dataclass(frozen=True, slots=True)
class Sparsity:
    """Zeros of a network's convolutions; each property is 0 where there is none."""

    layers: tuple[LayerSparsity, ...]

    @property
    def by_weights(self) -> float:
        """Zeros over weights of all layers: what caffe-jacinto's logs print."""
        weights = sum(layer.weights for layer in self.layers)
        return sum(layer.zeros for layer in self.layers) / weights if weights else 0.0

    @property
    def layer_mean(self) -> float:
        """Mean of the layers' shares: what TI's performance tables quote."""
        shares = [layer.share for layer in self.layers]
        return sum(shares) / len(shares) if shares else 0.0

    @property
    def by_macs(self) -> float:
        """Operations on zero weights over all operations: what a sparse kernel can skip."""
        macs = sum(layer.macs for layer in self.layers)
        return sum(layer.share * layer.macs for layer in self.layers) / macs if macs else 0.0


def sparsity(graph: Graph, masks: Mapping[str, npt.NDArray[np.bool_]] | None = None) -> Sparsity:
    """Return the zeros of every convolution.

    A convolution whose output only a softmax reads is left out, as at TI (it is a classifier), and
    so are transposed ones and fully connected layers.

    Args:
        graph: The float graph.
        masks: Constant → which of its entries are kept; entries masked out count as zero whatever
            the graph holds there.
    """
    readers, layers = graph.consumers(), []
    weights = {node.name: node.inputs[1] for node in graph.nodes if node.op is Op.CONV}
    outputs = {node.name: node.output for node in graph.nodes}
    for layer in convolution_macs(graph):
        if feeds_only_softmax(readers[outputs[layer.name]]):
            continue
        name = weights[layer.name]
        kept = graph.constants[name] != 0
        if masks and name in masks:
            kept = kept & masks[name]
        zeros = int(kept.size - np.count_nonzero(kept))
        layers.append(LayerSparsity(layer.name, zeros, layer.weights, layer.macs))
    return Sparsity(tuple(layers))


def sparsity_of_codes(graph: QuantizedGraph) -> Sparsity:
    """Return the zeros of every convolution of an integer graph: codes that stand for exactly 0.

    Layers count as in `sparsity`. There are at least as many zeros as in the float graph, because
    weights of less than half a step become zero.
    """
    readers, layers = graph.consumers(), []
    for node in graph.nodes:
        name = node.inputs[1] if node.op is Op.CONV else ""
        if name not in graph.constants or feeds_only_softmax(readers[node.output]):
            continue
        codes, form = graph.constants[name], graph.tensors[name].format
        points = np.array(form.zero_point, np.int64)
        if form.axis is not None:
            points = points.reshape([-1 if axis == form.axis else 1 for axis in range(codes.ndim)])
        pixels = prod(graph.tensors[node.output].shape[1:])
        zeros = int((codes == points).sum())
        layers.append(LayerSparsity(node.name, zeros, codes.size, pixels * codes.size))
    return Sparsity(tuple(layers))


def feeds_only_softmax(readers: Sequence[Node | QuantizedNode]) -> bool:
    """Return whether the readers of a convolution make it a classifier, which TI never counts."""
    return bool(readers) and all(node.op is Op.SOFTMAX for node in readers)
