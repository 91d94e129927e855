"""Where quantizers stand in a network whose batch norms are still there: as if it were folded.

A convolution, the batch norm and the rectifier behind it are one layer with one quantizer at its
end. What only moves codes has none; what computes new values in its input's format rounds to that.
An output that nobody reads stays a real number while training: its codes are those of its value.
"""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.numerics import Numerics
from nibblefit.ir.ops import Op
from nibblefit.quantization.fold import fold
from nibblefit.quantization.qdq.writing import quantized_tensors
from nibblefit.quantization.units import Output, units

#: Softmax lies in 0 … 1 and has the scale 1 / 128 for good.
SOFTMAX_SCALE = 2.0**-7


@dataclass(frozen=True, slots=True)
class Places:
    """Quantizers of a network.

    Attributes:
        followed: Tensors whose range is followed: inputs and what a layer computes.
        carriers: Rounded tensor → the followed tensor whose scale it has, None for softmax.
        open_ended: Followed tensors that are not rounded while training.
        norms: Layer → the batch norm that will go into it.
    """

    followed: tuple[str, ...]
    carriers: dict[str, str | None]
    open_ended: frozenset[str]
    norms: dict[str, Node]


def places(graph: Graph, numerics: Numerics) -> Places:
    """Return where the quantizers of a float network stand."""
    folded = fold(graph)
    rounded = set(quantized_tensors(folded, numerics))
    sources: dict[str, str | None] = {name: name for name in folded.inputs}
    followed = list(folded.inputs)
    for unit in units(folded, numerics):
        for name in unit.tensors:
            if unit.output is Output.CALIBRATED:
                sources[name] = unit.tensors[0]
                followed.append(name)
            elif unit.output is Output.KEPT:
                sources[name] = sources.get(unit.node.inputs[0])
            elif unit.node.op is Op.SOFTMAX:
                sources[name] = None
    readers = graph.consumers()
    ends = frozenset(n for n in followed if n in graph.outputs and not readers.get(n))
    carriers = {name: source for name, source in sources.items() if name in rounded}
    return Places(tuple(dict.fromkeys(followed)), carriers, ends, _norms_behind(graph, folded))


def _norms_behind(graph: Graph, folded: Graph) -> dict[str, Node]:
    """Map convolutions and linear layers to the first batch norm that will go into them."""
    kept = {node.name for node in folded.nodes}
    makers: dict[str, Node] = graph.producers()
    found: dict[str, Node] = {}
    for node in graph.nodes:
        maker = makers.get(node.inputs[0]) if node.op is Op.BATCH_NORM else None
        if maker is None or node.name in kept or maker.op not in (Op.CONV, Op.LINEAR):
            continue
        found.setdefault(maker.name, node)
    return found
