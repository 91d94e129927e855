"""Run a part of an integer graph: from tensors that are known to one that is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nibblefit.engine import Engine
from nibblefit.fixed.formats import IntArray
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.quantized import QuantizedGraph


def recomputed(
    graph: QuantizedGraph, known: Mapping[str, IntArray], wanted: str
) -> IntArray | None:
    """Return a tensor computed from the nearest known tensors before it.

    Args:
        graph: The whole graph.
        known: Codes by tensor; `wanted` itself does not count.
        wanted: The tensor.

    Returns:
        None where an input of the network is needed and not known, or a state.
    """
    part = part_before(graph, set(known) - {wanted}, wanted)
    if part is None or part.states:
        return None
    inputs = {name: known[name] for name in part.inputs}
    return Engine(part).run(inputs).outputs[wanted]


def part_before(graph: QuantizedGraph, known: set[str], wanted: str) -> QuantizedGraph | None:
    """Return the graph from known tensors to a tensor; None if they are not enough."""
    makers, needed, inputs = graph.producers(), set[str](), dict[str, None]()
    waiting = [wanted]
    while waiting:
        name = waiting.pop()
        if name in graph.constants:
            continue
        if name in known:
            inputs[name] = None
        elif name not in makers:
            return None
        elif makers[name].name not in needed:
            needed.add(makers[name].name)
            waiting += makers[name].inputs
    nodes = tuple(node for node in graph.nodes if node.name in needed)
    used = {name for node in nodes for name in (*node.inputs, *node.outputs)}
    states = {
        str(node.attributes["state"]) for node in nodes if "state" in node.attributes
    }  # fmt: skip
    return replace(
        graph, inputs=tuple(inputs), outputs=(wanted,), nodes=nodes,
        tensors=frozen_mapping({n: t for n, t in graph.tensors.items() if n in used}),
        constants=frozen_mapping({n: c for n, c in graph.constants.items() if n in used}),
        states=frozen_mapping({n: s for n, s in graph.states.items() if n in states}),
    )  # fmt: skip
