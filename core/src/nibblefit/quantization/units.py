"""Where quantizers go: the nodes of a float graph grouped as the target declares its fusions.

A *unit* becomes one node of the quantized graph: an operator with the rectifiers that its final
clamp absorbs. A *layer* is a chain of units that the target runs without quantizing in between.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.numerics import Fusion, Numerics
from nibblefit.ir.ops import ELEMENTWISE, MOVERS, WEIGHTED, Op


class Output(Enum):
    """Which format a unit's output has."""

    KEPT = "kept"  #: the format of its first input
    CALIBRATED = "calibrated"  #: chosen from the values it takes
    RAW = "raw"  #: the accumulator itself; the next unit of the layer reads it
    FIXED = "fixed"  #: given by the operator (softmax, argmax)


@dataclass(frozen=True, slots=True)
class Unit:
    """One node of the quantized graph to be.

    Attributes:
        node: The operator.
        rectifiers: RELU and CLIP nodes behind it that its final clamp absorbs.
        layer: Name of the layer it belongs to.
        output: See `Output`.
    """

    node: Node
    rectifiers: tuple[Node, ...]
    layer: str
    output: Output

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of the tensors it makes."""
        return self.rectifiers[-1].outputs if self.rectifiers else self.node.outputs


#: Operators computed from a table of codes; their input must be a code, never an accumulator.
TABLED = frozenset({Op.SIGMOID, Op.TANH, Op.HARD_SIGMOID, Op.HARD_SWISH, Op.SOFTMAX, Op.ARGMAX})
AVERAGES = frozenset({Op.AVG_POOL, Op.GLOBAL_AVG_POOL})
#: Operators that write their input's format.
KEEPERS = MOVERS | {Op.PAD, Op.RESIZE_BILINEAR, Op.IDENTITY}
_FIXED = frozenset({Op.SOFTMAX, Op.ARGMAX})
_BITWISE = frozenset({Op.OR, Op.XOR})
#: Operators whose final clamp can rectify as well.
_RECTIFYING = WEIGHTED | AVERAGES | {Op.SCALE_OFFSET, Op.MATMUL} | (ELEMENTWISE - _BITWISE)
#: Operators that can read an accumulator.
_READS_RAW = frozenset(
    {Op.RELU, Op.LEAKY_RELU, Op.PRELU, Op.ABS, Op.ADD, Op.SUB, Op.MAX_POOL, *AVERAGES}
)


def units(graph: Graph, numerics: Numerics) -> tuple[Unit, ...]:
    """Return the units of a folded graph in execution order."""
    found = []
    for chain in chains(graph, numerics.fusions):
        found += _units_of_chain(chain, numerics)
    return tuple(found)


def chains(graph: Graph, fusions: tuple[Fusion, ...]) -> list[tuple[Node, ...]]:
    """Split the graph into chains that match a fusion, the first declared first; rest alone.

    Chains are ordered by their last node, where all their inputs are known.
    """
    consumers, position = graph.consumers(), {n.name: i for i, n in enumerate(graph.nodes)}
    taken: set[str] = set()
    found = []
    for node in graph.nodes:
        if node.name in taken:
            continue
        matches = (_match(graph, consumers, node, fusion, taken) for fusion in fusions)
        chain = next((match for match in matches if match), (node,))
        taken.update(member.name for member in chain)
        found.append(chain)
    return sorted(found, key=lambda chain: position[chain[-1].name])


def _match(graph: Graph, consumers: dict[str, list[Node]], first: Node, fusion: Fusion,
           taken: set[str]) -> tuple[Node, ...]:  # fmt: skip
    """Return the nodes from `first` on that match a fusion of two or more operators."""
    chain: list[Node] = []
    upcoming: Node | None = first
    for place, op in enumerate(fusion.ops):
        if upcoming is not None and upcoming.op is op and upcoming.name not in taken:
            chain.append(upcoming)
            upcoming = _only_consumer(graph, consumers, upcoming)
        elif place not in fusion.optional:
            return ()
    return tuple(chain) if len(chain) > 1 else ()


def _only_consumer(graph: Graph, consumers: dict[str, list[Node]], node: Node) -> Node | None:
    readers = consumers[node.output]
    if len(node.outputs) != 1 or len(readers) != 1 or node.output in graph.outputs:
        return None
    elementwise = readers[0].op in ELEMENTWISE and readers[0].inputs.count(node.output) == 1
    return readers[0] if readers[0].inputs[0] == node.output or elementwise else None


def _units_of_chain(chain: tuple[Node, ...], numerics: Numerics) -> list[Unit]:
    layer = next((node.name for node in chain if node.op in WEIGHTED), chain[0].name)
    merged = [Unit(node, (), layer, Output.KEPT) for node in chain[:1]]
    for node in chain[1:]:
        if node.op in (Op.RELU, Op.CLIP) and merged[-1].node.op in _RECTIFYING:
            merged[-1] = replace(merged[-1], rectifiers=(*merged[-1].rectifiers, node))
        else:
            merged.append(Unit(node, (), layer, Output.KEPT))
    computing = [i for i, unit in enumerate(merged) if unit.node.op not in KEEPERS]
    return [
        replace(unit, output=_output(merged, i, computing, numerics))
        for i, unit in enumerate(merged)
    ]


def _output(merged: list[Unit], place: int, computing: list[int], numerics: Numerics) -> Output:
    unit = merged[place]
    last = place == computing[-1] if computing else False
    if place not in computing:
        return Output.KEPT
    if unit.node.op in _FIXED:
        return Output.FIXED
    if unit.node.op in AVERAGES and (
        numerics.pooling_keeps_format or (not last and place == computing[0])
    ):
        return Output.KEPT
    if unit.node.op in _BITWISE or last:
        return Output.CALIBRATED
    readers = merged[place + 1 : next(i for i in computing if i > place) + 1]
    clips = any(node.op is Op.CLIP for node in unit.rectifiers) and numerics.weights.per_channel
    raw = unit.node.op in _RECTIFYING - AVERAGES and not clips
    raw = raw and all(reader.node.op in _READS_RAW for reader in readers)
    return Output.RAW if raw else Output.CALIBRATED
