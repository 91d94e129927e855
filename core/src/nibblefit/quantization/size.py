"""Multiply-accumulates, parameters and stored bytes, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit.ir.macs import macs_of
from nibblefit.ir.ops import WEIGHTED
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode
from nibblefit.results import Table


@dataclass(frozen=True, slots=True)
class LayerSize:
    """What one layer costs.

    Attributes:
        layer: Name of the layer (a fused group counts once).
        op: Its main operator.
        weight_bits: Width of its weights, 0 if it has none.
        parameters: Number of constants it reads (tables included).
        weight_bytes: Their size at stored width, each constant rounded up to whole bytes.
        macs: Multiply-accumulates for one input.
    """

    layer: str
    op: str
    weight_bits: int
    parameters: int
    weight_bytes: int
    macs: int


def layer_sizes(graph: QuantizedGraph) -> list[LayerSize]:
    """Return the costs of every layer, in order; a shared constant counts where it comes first."""
    seen: set[str] = set()
    return [_layer(graph, name, nodes, seen) for name, nodes in graph.layers().items()]


def _layer(graph: QuantizedGraph, name: str, nodes: list[QuantizedNode],
           seen: set[str]) -> LayerSize:  # fmt: skip
    main = next((node for node in nodes if node.op in WEIGHTED), nodes[0])
    bits = 0
    if main.op in WEIGHTED and main.inputs[1] in graph.constants:
        bits = graph.tensors[main.inputs[1]].format.bits
    own = [c for node in nodes for c in dict.fromkeys(node.inputs) if c in graph.constants]
    fresh = [constant for constant in dict.fromkeys(own) if constant not in seen]
    seen.update(fresh)
    sizes = {c: int(graph.constants[c].size) for c in fresh}
    stored = sum(-(-n * graph.tensors[c].format.bits // 8) for c, n in sizes.items())
    return LayerSize(name, main.op.value, bits, sum(sizes.values()), stored,
                     sum(_macs(graph, node) for node in nodes))  # fmt: skip


def _macs(graph: QuantizedGraph, node: QuantizedNode) -> int:
    shapes = [graph.tensors[name].shape for name in node.inputs]
    return macs_of(node.op, shapes[0], shapes[1] if len(shapes) > 1 else (),
                   graph.tensors[node.output].shape)  # fmt: skip


def size_table(graph: QuantizedGraph) -> Table:
    """Return the costs as a table that ends in a total."""
    layers = layer_sizes(graph)
    rows = [(s.layer, s.op, s.weight_bits, s.parameters, s.weight_bytes, s.macs) for s in layers]
    total = (
        "total", "", "", sum(s.parameters for s in layers), sum(s.weight_bytes for s in layers),
        sum(s.macs for s in layers),
    )  # fmt: skip
    columns = ("layer", "operator", "weight bits", "parameters", "weight bytes", "MACs")
    return Table("Size", columns, (*rows, total))
