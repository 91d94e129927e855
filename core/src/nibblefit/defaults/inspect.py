"""Core's inspection: what runs as what, at which width and cost, without any training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.macs import graph_macs
from nibblefit.ir.numerics import Numerics
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.nn.names import trainable
from nibblefit.quantization.fold import fold
from nibblefit.quantization.support import Support, Verdict, support
from nibblefit.recipe import Recipe
from nibblefit.results import Finding, Report, Status, Table

_COLUMNS = ("layer", "operator", "runs as", "bits", "weight bytes", "MACs", "verdict")
RULE = "support.layer"


def inspect(graph: Graph, part: str, recipe: Recipe | None, numerics: Numerics) -> Report:  # noqa: ARG001
    """Return one finding per layer and a table; never raises for an unsupported network."""
    verdicts = support(graph, numerics)
    macs = graph_macs(graph)
    bits = _weight_bits(graph, recipe, numerics)
    folded = fold(graph)  # its layers have the biases that batch norm leaves behind
    nodes = {node.name: node for node in folded.nodes}
    rows = tuple(
        _row(folded, found, nodes.get(found.node.name), macs[found.node.name], bits)
        for found in verdicts
    )
    fits = sum(found.verdict is not Verdict.REFUSED for found in verdicts)
    metrics = {
        "layers": float(len(verdicts)),
        "supported": float(fits),
        "parameters": float(sum(int(graph.constants[name].size) for name in trainable(graph))),
        "weight_bytes": float(sum(row[4] or 0 for row in rows)),
        "macs": float(sum(macs.values())),
    }
    return Report(
        subject=f"support of '{graph.name}'",
        metrics=frozen_mapping(metrics),
        findings=tuple(_finding(found) for found in verdicts),
        tables=(Table("Layers", _COLUMNS, rows),),
    )


def _finding(found: Support) -> Finding:
    node = found.node
    if found.verdict is Verdict.REFUSED:
        return Finding(RULE, Status.FAILED, f"{node.op.value}: {found.reason}", node.name,
                       found.remedy)  # fmt: skip
    if found.verdict is Verdict.HOST:
        return Finding(RULE, Status.WARNING, f"{node.op.value} runs on the host", node.name,
                       "move it behind the chip's part or replace it")  # fmt: skip
    return Finding(RULE, Status.PASSED, f"{node.op.value}: {found.runs_as}", node.name)


_Row: TypeAlias = tuple[str, str, str | None, int | None, int | None, int | None, str]


def _row(folded: Graph, found: Support, kept: Node | None, macs: int,
         bits: Mapping[str, int]) -> _Row:  # fmt: skip
    """Return a layer's row; what it does not have is None. Reasons stand in the findings.

    Args:
        folded: The graph with batch norm folded.
        found: Verdict on the layer.
        kept: The layer in `folded`; None if it went into another one.
        macs: Its multiply-accumulates.
        bits: Layer → width of its weights.
    """
    node, width = found.node, bits.get(found.node.name)
    stored = None
    if width and kept is not None:
        biases = 4 * sum(int(folded.constants[name].size) for name in kept.inputs[2:])
        stored = -(-int(folded.constants[kept.inputs[1]].size) * width // 8) + biases
    return (node.name, node.op.value, found.runs_as or None, width, stored, macs or None,
            found.verdict.value)  # fmt: skip


def _weight_bits(graph: Graph, recipe: Recipe | None, numerics: Numerics) -> dict[str, int]:
    """Return the width of each layer's weights: the recipe's, else the target's default."""
    from nibblefit.quantization.settings import settings

    chosen = settings(layers=recipe.quantize.layers if recipe is not None else {})
    return {
        node.name: chosen.of(node.name).weight_bits or numerics.weights.bits[0]
        for node in graph.nodes
        if node.op in WEIGHTED | {Op.SCALE_OFFSET} and node.inputs[1] in graph.constants
    }
