"""The layer table and the findings: what each layer runs as, what it costs, or why not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import WEIGHTED
from nibblefit.quantization.fold import fold
from nibblefit.quantization.units import chains
from nibblefit.results import Finding, Status, Table
from nibblefit_tidl.classic.merging import merged_layers
from nibblefit_tidl.complexity.macs import convolution_macs
from nibblefit_tidl.tables.judging import Broken, Judgement, Setting
from nibblefit_tidl.tables.schema import Severity

RULE = "tidl.operator"
_COLUMNS = ("layer", "operator", "runs as", "output", "MMAC", "weights", "data bytes", "verdict")


@dataclass(frozen=True, slots=True)
class Layout:
    """How the nodes of a network join into the device's layers.

    Attributes:
        folded: The graph with batch norm folded.
        layers: Nodes of each layer in order; the last one writes its output.
    """

    folded: Graph
    layers: tuple[tuple[Node, ...], ...]

    def written(self, setting: Setting) -> dict[str, int]:
        """Return bytes by the node that writes them, for one frame."""
        return {
            layer[-1].name: setting.width(layer) // 8
            * sum(math.prod(self.folded.shapes[name]) for name in layer[-1].outputs)
            for layer in self.layers
        }  # fmt: skip

    def joined(self) -> dict[str, str]:
        """Return the layer in which each node runs, such as ``conv1 (conv + relu)``."""
        return {
            node.name: f"{layer[0].name} ({' + '.join(each.op.value for each in layer)})"
            for layer in self.layers
            for node in layer
        }


def layout(graph: Graph, setting: Setting) -> Layout:
    """Return how a float graph's nodes join on a device."""
    folded = fold(graph)
    if setting.generation == "classic" and has_constant_weights(folded):
        return Layout(folded, tuple(layer.nodes for layer in merged_layers(folded)))
    return Layout(folded, tuple(chains(folded, setting.numerics.fusions)))


def layer_table(graph: Graph, judgements: Sequence[Judgement], setting: Setting) -> Table:
    """Return one row per layer: operations as TI counts them, weights, bytes it writes."""
    found = layout(graph, setting)
    kept = {node.name: node for node in found.folded.nodes}
    counted = convolution_macs(found.folded) if has_constant_weights(graph) else ()
    macs = {layer.name: layer.mmac for layer in counted}
    joined, written = found.joined(), found.written(setting)
    rows: list[tuple[Any, ...]] = [
        (
            one.node.name, one.node.op.value, joined.get(one.node.name, one.runs_as) or None,
            _times(graph.shapes[one.node.output]), macs.get(one.node.name),
            _weights(found.folded, kept.get(one.node.name)) or None, written.get(one.node.name),
            _word(one),
        )
        for one in judgements
    ]  # fmt: skip
    return Table("Layers", _COLUMNS, tuple(rows))


def layer_findings(judgements: Iterable[Judgement]) -> list[Finding]:
    """Return what becomes of every layer; warnings and refusals with reason and remedy."""
    found = []
    for one in judgements:
        node = one.node
        if one.is_refused:
            message = f"{node.op.value}: {one.refusal[0]}"
            found.append(Finding(RULE, Status.FAILED, message, node.name, one.refusal[1]))
            continue
        found += [_warning(node, b) for b in one.with_severity(Severity.WARNED, Severity.HOST)]
        notes = "; ".join(f"{b.reason} → {b.remedy}" for b in one.with_severity(Severity.NOTED))
        runs = f"{node.op.value}: {one.runs_as}" + (f" ({notes})" if notes else "")
        found.append(Finding(RULE, Status.PASSED, runs, node.name))
    return found


def data_bytes(graph: Graph, setting: Setting) -> tuple[int, int]:
    """Return the bytes of the largest tensor in memory and of all of them, for one frame."""
    inputs = [math.prod(graph.shapes[name]) for name in graph.inputs]
    sizes = [*inputs, *layout(graph, setting).written(setting).values()]
    return max(sizes), sum(sizes)


def has_constant_weights(graph: Graph) -> bool:
    """Return whether no layer's weights are computed by another; only then can they be counted."""
    return all(node.inputs[1] in graph.constants for node in graph.nodes if node.op in WEIGHTED)


def _warning(node: Node, broken: Broken) -> Finding:
    where = " (left to the Arm core)" if broken.limit.verdict is Severity.HOST else ""
    message = f"{node.op.value}: {broken.reason}{where}"
    return Finding(RULE, Status.WARNING, message, node.name, broken.remedy)


def _word(one: Judgement) -> str:
    if one.is_refused:
        return "refused"
    if not one.is_accelerated:
        return "Arm core"
    return f"{one.verdict.value}{', not validated' * bool(one.with_severity(Severity.WARNED))}"


def _weights(folded: Graph, node: Node | None) -> int:
    if node is None:
        return 0
    return sum(int(folded.constants[n].size) for n in node.inputs if n in folded.constants)


def _times(shape: Sequence[int]) -> str:
    return "×".join(str(size) for size in shape) or "1"
