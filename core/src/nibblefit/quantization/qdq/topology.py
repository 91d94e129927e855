"""The float topology behind an integer graph, kept as JSON-like metadata.

An integer graph says how bits are computed, not that a table was once a sigmoid. ONNX wants the
latter, so a target that writes it keeps the folded network's nodes with the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nibblefit.errors import InputError
from nibblefit.fixed.quantize import dequantize
from nibblefit.ir.encoding import decode_attributes, encode_value
from nibblefit.ir.graph import Attributes, FloatConstant, Graph, Node, Shape, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.ir.shapes import infer_shapes
from nibblefit.quantization.fold import fold

KEY = "topology"


def representable(graph: Graph) -> Graph:
    """Return the folded graph with the attributes that ONNX can state: float32 numbers.

    Integers must be made from it. A slope of 0.1 is another number in a file, and near a rounding
    tie another code.
    """
    folded = fold(graph)
    return replace(folded, nodes=tuple(map(_stated, folded.nodes)))


def _stated(node: Node) -> Node:
    attributes = {key: _single(value) for key, value in node.attributes.items()}
    return replace(node, attributes=frozen_mapping(attributes))


def _single(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_single, value))
    return float(np.float32(value)) if isinstance(value, float) else value


def with_topology(graph: QuantizedGraph, network: Graph) -> QuantizedGraph:
    """Return the integer graph that says which representable network it was made from."""
    facts = {**graph.metadata, KEY: topology_of(network)}
    return replace(graph, metadata=frozen_mapping(facts))


def topology_of(graph: Graph) -> list[dict[str, Any]]:
    """Return the nodes of a folded graph as JSON-like values."""
    return [
        {
            "name": node.name,
            "op": node.op.value,
            "inputs": list(node.inputs),
            "outputs": list(node.outputs),
            "attributes": encode_value(dict(node.attributes)),
            "source": node.source,
        }
        for node in graph.nodes
    ]


def float_graph(graph: QuantizedGraph) -> Graph:
    """Return the float network whose weights are exactly what the integer weights mean.

    Raises:
        InputError: The graph does not hold its topology.
    """
    if KEY not in graph.metadata:
        raise InputError(
            f"the graph '{graph.name}' does not say which float operators it was made from",
            hint="compile the result of the quantize step of a target that writes QDQ ONNX",
        )
    stored = [_node(item) for item in graph.metadata[KEY]]
    made = set(graph.inputs).union(*(node.outputs for node in stored))
    integer = {node.name: node for node in graph.nodes}
    nodes, constants = [], {}
    for node in stored:
        inputs = list(node.inputs)
        for place, name in enumerate(node.inputs):
            if name not in made:
                inputs[place] = integer[node.name].inputs[place]
                constants[inputs[place]] = _real(graph, inputs[place])
        nodes.append(Node(node.name, node.op, tuple(inputs), node.outputs, node.attributes,
                          node.source))  # fmt: skip
    shapes = _shapes(graph, nodes, constants)
    return Graph(graph.name, graph.inputs, graph.outputs, tuple(nodes), frozen_mapping(shapes),
                 frozen_mapping(constants))  # fmt: skip


def _node(item: Mapping[str, Any]) -> Node:
    attributes: Attributes = decode_attributes(item["attributes"])
    return Node(item["name"], Op(item["op"]), tuple(item["inputs"]), tuple(item["outputs"]),
                attributes, item["source"])  # fmt: skip


def _real(graph: QuantizedGraph, name: str) -> FloatConstant:
    values = np.array(dequantize(graph.constants[name], graph.tensors[name].format))
    values.flags.writeable = False
    return values


def _shapes(graph: QuantizedGraph, nodes: list[Node],
            constants: Mapping[str, FloatConstant]) -> dict[str, Shape]:  # fmt: skip
    """Infer all shapes: rectifiers absorbed by a clamp have left tensors the graph lacks."""
    known: dict[str, Shape] = {name: tuple(c.shape) for name, c in constants.items()}
    known.update({name: graph.tensors[name].shape for name in graph.inputs})
    for node in nodes:
        shapes = infer_shapes(node.op, node.attributes, [known[name] for name in node.inputs])
        known.update(zip(node.outputs, shapes, strict=True))
    return {name: shape for name, shape in known.items() if name not in constants}
