"""A network's layer summary: type, output shape and parameters of every layer."""

from __future__ import annotations

from math import prod

from nibblefit.ir.graph import Graph
from nibblefit.nn.names import trainable
from nibblefit.results import Table

TITLE = "Summary"
_COLUMNS = ("layer", "type", "output shape", "parameters")


def summary_table(graph: Graph) -> Table:
    """Return one row per layer, in order, and a total.

    Parameters are what training can change; running statistics and fixed constants are not
    counted. A shared one counts where it comes first. Shapes are of one sample.
    """
    counted = set(trainable(graph))
    rows: list[tuple[str, str, str, int]] = []
    for node in graph.nodes:
        own = counted.intersection(node.inputs)
        counted -= own
        parameters = sum(prod(graph.constants[name].shape) for name in own)
        shapes = (" × ".join(map(str, graph.shapes[name])) for name in node.outputs)
        rows.append((node.name, node.op.value, ", ".join(shapes), parameters))
    total = ("total", "", "", sum(row[3] for row in rows))
    return Table(TITLE, _COLUMNS, (*rows, total))
