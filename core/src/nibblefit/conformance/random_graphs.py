"""Random legal quantized graphs over every operator, with inputs for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import strategies as st

from nibblefit.conformance.random_builder import Builder
from nibblefit.conformance.random_nodes import RECIPES
from nibblefit.conformance.random_steps import codes, generators
from nibblefit.fixed.formats import IntArray
from nibblefit.ir.quantized import QuantizedGraph


@dataclass(frozen=True, slots=True)
class Example:
    """A graph and inputs for it."""

    graph: QuantizedGraph
    inputs: Mapping[str, IntArray]


@st.composite
def quantized_graphs(draw: st.DrawFn, max_nodes: int = 6, max_batch: int = 3) -> Example:
    """Return a random legal graph with inputs for it.

    Graphs hold up to `max_nodes` operators (some bring a second node along) over images,
    sequences, volumes or vectors, with branches that meet again, several outputs, and every
    operator and step of the vocabulary.
    """
    builder = Builder(draw, draw(generators()))
    axes = draw(st.sampled_from((2, 2, 2, 1, 0, 3)))
    largest = 9 if axes < 3 else 4
    sizes = tuple(draw(st.integers(1, largest)) for _ in range(axes))
    builder.input((draw(st.integers(1, 8)), *sizes))
    if draw(st.booleans()):
        builder.input(builder.shape("x0"))
    for _ in range(draw(st.integers(1, max_nodes))):
        x = draw(st.sampled_from(builder.activations()))
        fitting = [make for fits, make in RECIPES if fits(builder.shape(x))]
        draw(st.sampled_from(fitting))(builder, x)
    graph = builder.graph()
    batch = draw(st.integers(1, max_batch))
    inputs = {
        name: draw(codes(graph.tensors[name].format, (batch, *graph.tensors[name].shape)))
        for name in graph.inputs
    }
    return Example(graph, inputs)
