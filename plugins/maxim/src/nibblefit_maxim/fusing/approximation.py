"""Approximations that a recipe may allow: other functions, close to what was asked for.

They are made before training, which then happens with what the hardware computes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nibblefit.ir.float_reference import run_float
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.ops import Op

#: Name in recipes → what is replaced by what.
APPROXIMATIONS = {"relu6": "relu6 becomes relu, which saturates at a power of two"}


@dataclass(frozen=True, slots=True)
class Effect:
    """How far the outputs moved.

    Attributes:
        layers: Float nodes that were replaced.
        samples: Inputs that were compared.
        largest: Largest difference of any output.
        relative: Root mean square of the differences over that of the outputs.
    """

    layers: tuple[str, ...]
    samples: int
    largest: float
    relative: float

    def line(self) -> str:
        """Return one line for a report."""
        return (
            f"{len(self.layers)} layers approximated ({', '.join(self.layers)}): before training, "
            f"outputs of {self.samples} samples move by {100 * self.relative:.2f} % "
            f"(at most {self.largest:.4g})"
        )


def approximated(graph: Graph, allowed: Collection[str]) -> Graph:
    """Return the graph with every approximation that is allowed; itself if there is none."""
    if "relu6" not in allowed or not any(_is_relu6(node) for node in graph.nodes):
        return graph
    return replace(graph, nodes=tuple(_relu(n) if _is_relu6(n) else n for n in graph.nodes))


def effect(before: Graph, after: Graph, inputs: npt.NDArray[np.float32]) -> Effect:
    """Return how far a network's outputs move by an approximation, on real inputs."""
    name = before.inputs[0]
    old, new = (run_float(graph, {name: inputs}, np.float32) for graph in (before, after))
    differences = np.concatenate([(new[o] - old[o]).reshape(-1) for o in before.outputs])
    outputs = np.concatenate([old[o].reshape(-1) for o in before.outputs])
    power = float(np.sqrt(np.mean(np.square(outputs, dtype=np.float64))))
    changed = tuple(a.name for a, b in zip(before.nodes, after.nodes, strict=True) if a is not b)
    return Effect(
        changed,
        len(inputs),
        float(np.abs(differences).max(initial=0.0)),
        float(np.sqrt(np.mean(np.square(differences, dtype=np.float64)))) / (power or 1.0),
    )


def _is_relu6(node: Node) -> bool:
    return node.op is Op.CLIP and (node.attributes["lo"], node.attributes["hi"]) == (0.0, 6.0)


def _relu(node: Node) -> Node:
    return replace(node, op=Op.RELU, attributes=frozen_mapping())
