"""Family ``graph``: integer graphs say where they come from.

That they are well formed is checked wherever a hook returns one, so `stages.quantize` fails on an
illegal graph.
"""

from __future__ import annotations

from nibblefit.conformance.bench import Bench
from nibblefit.conformance.records import CheckFailure, check
from nibblefit.ir.ops import WEIGHTED
from nibblefit.ir.quantized import QuantizedNode


@check(
    "graph.target",
    why="a stored graph must say whose numerics it follows",
    how="set QuantizedGraph.target to info.name",
    needs=("stages.quantize",),
)
def target(bench: Bench) -> None:
    """Graphs carry the target's name."""
    for case, graph in bench.all_quantized():
        if graph.target != bench.info.name:
            raise CheckFailure(f"network '{case}' says its target is '{graph.target}'")


@check(
    "graph.layers",
    why="reports, sensitivity tables and overrides speak of the user's layers",
    how="set QuantizedNode.source (or keep the float node's name) wherever a node comes from a "
    "user's layer",
    needs=("stages.quantize",),
)
def layers(bench: Bench) -> None:
    """Weighted integer nodes can be traced to the user's layers."""
    for case in bench.cases:
        known = {n.name for n in case.graph.nodes} | {n.source for n in case.graph.nodes}
        for node in _weighted_nodes(bench, case.name):
            if not ({node.name, node.source, node.layer} & known):
                raise CheckFailure(f"'{node.name}' of network '{case.name}' has no known origin")


def _weighted_nodes(bench: Bench, case: str) -> list[QuantizedNode]:
    return [
        node
        for name, graph in bench.all_quantized()
        if name == case
        for node in graph.nodes
        if node.op in WEIGHTED
    ]
