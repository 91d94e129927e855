"""Graphs at sizes that would take long to run: shapes are inferred again, nothing is computed."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from nibblefit.ir.graph import Graph, Shape, frozen_mapping
from nibblefit.ir.shapes import infer_shapes
from nibblefit.nn.capture import capture


def captured(module: nn.Module, shape: Shape, small: Shape) -> Graph:
    """Return the graph of a module for inputs of `shape`, captured with small ones."""
    graph = capture(module, small, name="ours")
    shapes: dict[str, Shape] = {graph.inputs[0]: tuple(shape)}
    for node in graph.nodes:
        inputs = [
            shapes[name] if name in shapes else graph.constants[name].shape for name in node.inputs
        ]
        shapes.update(zip(node.outputs, infer_shapes(node.op, node.attributes, inputs)))
    return replace(graph, shapes=frozen_mapping(shapes))
