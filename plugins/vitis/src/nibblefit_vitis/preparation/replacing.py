"""Replacements that change what the network computes, or whose parameters are shared; all said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import isclose

from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.nn.names import FIXED
from nibblefit.nn.rewrite import live
from nibblefit_vitis.preparation.constants import (
    LEAKY_SLOPE,
    LEAKY_SLOPE_NUMERATOR,
    LEAKY_SLOPE_SHIFT,
)

#: A graph and what was changed in it, one line each.
Changed = tuple[Graph, tuple[str, ...]]


def is_relu6(node: Node) -> bool:
    """Return whether a node clips to [0, 6]."""
    return node.op is Op.CLIP and (node.attributes["lo"], node.attributes["hi"]) == (0, 6)


def relu6_to_relu(graph: Graph, reason: str) -> Changed:
    """Return the graph with RELU for every ReLU6; `reason` ends the notes."""

    def changed(node: Node) -> tuple[Node, str] | None:
        if not is_relu6(node):
            return None
        note = f"ReLU6 '{node.name}' became ReLU: {reason}"
        return replace(node, op=Op.RELU, attributes=frozen_mapping()), note

    return _replaced(graph, changed)


def silu_to_hard_swish(graph: Graph) -> Changed:
    """Return the graph with HARD_SWISH for every x · sigmoid(x)."""
    producers = graph.producers()

    def changed(node: Node) -> tuple[Node, str] | None:
        if node.op is not Op.MUL or len(node.inputs) != 2:
            return None
        for x, gated in (node.inputs, node.inputs[::-1]):
            gate = producers.get(gated)
            if gate is not None and gate.op is Op.SIGMOID and gate.inputs == (x,):
                made = replace(node, op=Op.HARD_SWISH, inputs=(x,), attributes=frozen_mapping())
                return made, f"SiLU '{node.name}' became hard-swish: convert_silu_to_hswish is set"
        return None

    after, notes = _replaced(graph, changed)
    return live(after), notes


def fix_leaky_slopes(graph: Graph) -> Changed:
    """Return the graph with the DPU's slope in every LEAKY_RELU."""

    def changed(node: Node) -> tuple[Node, str] | None:
        if node.op is not Op.LEAKY_RELU:
            return None
        slope = float(node.attributes["slope"])
        if isclose(slope, LEAKY_SLOPE, rel_tol=1e-7):
            return replace(node, attributes=frozen_mapping({"slope": LEAKY_SLOPE})), ""
        note = (
            f"leaky ReLU '{node.name}' has slope {LEAKY_SLOPE_NUMERATOR}/{2**LEAKY_SLOPE_SHIFT} = "
            f"{LEAKY_SLOPE} instead of {slope:g}: the DPU has no other; train with it where "
            f"accuracy falls"
        )
        return replace(node, attributes=frozen_mapping({"slope": LEAKY_SLOPE})), note

    return _replaced(graph, changed)


def own_parameters(graph: Graph) -> Changed:
    """Return the graph with a copy of shared weights and biases for every layer but the first."""
    taken: dict[str, str] = {}
    nodes, notes, constants = [], [], dict(graph.constants)
    for node in graph.nodes:
        inputs, shared = list(node.inputs), ""
        for place, name in enumerate(node.inputs if node.op in WEIGHTED else ()):
            if name in graph.constants and taken.setdefault(name, node.name) != node.name:
                inputs[place], shared = _free(name, constants), taken[name]
                constants[inputs[place]] = constants[name]
        if shared:
            notes.append(f"layer '{node.name}' shares parameters with '{shared}'; it has a copy "
                         f"of its own, which is quantized by itself")  # fmt: skip
        nodes.append(replace(node, inputs=tuple(inputs)))
    after = replace(graph, nodes=tuple(nodes), constants=frozen_mapping(constants))
    return after, tuple(notes)


def _free(name: str, constants: Mapping[str, object]) -> str:
    """Return a name for a copy; one of a constant that is never trained says so as well."""
    base = name.removesuffix(FIXED)
    ending, number = name[len(base) :], 2
    while f"{base}@{number}{ending}" in constants:
        number += 1
    return f"{base}@{number}{ending}"


def _replaced(graph: Graph, changed: Callable[[Node], tuple[Node, str] | None]) -> Changed:
    nodes, notes = [], []
    for node in graph.nodes:
        made = changed(node)
        nodes.append(node if made is None else made[0])
        if made is not None and made[1]:
            notes.append(made[1])
    return replace(graph, nodes=tuple(nodes)), tuple(notes)
