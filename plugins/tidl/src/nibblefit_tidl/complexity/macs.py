"""Multiply-accumulates, counted as in TI's tables and as the importer prints them.

The two differ. TI's tables of reference networks count convolutions only, each rounded to 0.01
million before they are added; the importer's log adds pools, batch norms, biases and fully
connected layers (caffe-jacinto-models documents and the classic importer's output).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op
from nibblefit_tidl.complexity.weights import weights_of

_HUNDREDTH = 10_000  # MACs in 0.01 million


@dataclass(frozen=True, slots=True)
class LayerMacs:
    """Multiply-accumulates of one convolution, for one input.

    Attributes:
        name: Node of the graph.
        macs: Exact count: output pixels · output channels · (input channels / groups) · taps.
        weights: Numbers in its kernel.
    """

    name: str
    macs: int
    weights: int

    @property
    def mmac(self) -> float:
        """Millions, rounded to two decimals as in TI's tables."""
        return _hundredths(self.macs) / 100


def convolution_macs(graph: Graph) -> tuple[LayerMacs, ...]:
    """Return every convolution in graph order; transposed ones are none, here as at TI.

    Raises:
        UnsupportedError: Weights are computed by another layer.
    """
    found = []
    for node in graph.nodes:
        if node.op is Op.CONV:
            weights = weights_of(graph, node).size
            found.append(LayerMacs(node.name, _convolution(graph, node), weights))
    return tuple(found)


def mmac(graph: Graph) -> float:
    """Return millions of multiply-accumulates by the rule of TI's tables.

    Each convolution is rounded to 0.01 million first. Nothing else counts: not pools, fully
    connected layers, transposed convolutions or batch norms.
    """
    return sum(_hundredths(layer.macs) for layer in convolution_macs(graph)) / 100


def importer_gmac(graph: Graph) -> float:
    """Return thousands of millions of operations as the importer's ``Total Giga Macs``.

    Beside convolutions (transposed ones as well) it counts pools (output · taps), batch norms,
    scales and biases that are layers of their own (elements), and fully connected layers
    (inputs · outputs + outputs). Activations, sums and layers that move values count nothing.
    """
    return (
        sum(_IMPORTER[node.op](graph, node) for node in graph.nodes if node.op in _IMPORTER) / 1e9
    )


def _hundredths(macs: int) -> int:
    """Return a count in units of 0.01 million, half rounded up."""
    return (macs + _HUNDREDTH // 2) // _HUNDREDTH


def _size(graph: Graph, name: str) -> int:
    shape = graph.shapes[name] if name in graph.shapes else graph.constants[name].shape
    return math.prod(shape)


def _convolution(graph: Graph, node: Node) -> int:
    weights = weights_of(graph, node).shape
    pixels = math.prod(graph.shapes[node.output][1:])
    return pixels * math.prod(weights)


def _transposed(graph: Graph, node: Node) -> int:
    """Count every input pixel times the kernel that it is spread with."""
    weights = weights_of(graph, node).shape
    return math.prod(graph.shapes[node.inputs[0]][1:]) * math.prod(weights)


def _pool(graph: Graph, node: Node) -> int:
    return _size(graph, node.output) * math.prod(node.attributes["kernel"])


def _global_pool(graph: Graph, node: Node) -> int:
    return _size(graph, node.inputs[0])


def _elements(graph: Graph, node: Node) -> int:
    return _size(graph, node.output)


def _linear(graph: Graph, node: Node) -> int:
    outputs, inputs = (int(size) for size in weights_of(graph, node).shape)
    rows = _size(graph, node.output) // outputs
    return rows * (inputs * outputs + outputs)


_IMPORTER: Mapping[Op, Callable[[Graph, Node], int]] = {
    Op.CONV: _convolution,
    Op.CONV_TRANSPOSE: _transposed,
    Op.MAX_POOL: _pool,
    Op.AVG_POOL: _pool,
    Op.GLOBAL_AVG_POOL: _global_pool,
    Op.GLOBAL_MAX_POOL: _global_pool,
    Op.BATCH_NORM: _elements,
    Op.SCALE_OFFSET: _elements,
    Op.LINEAR: _linear,
}
