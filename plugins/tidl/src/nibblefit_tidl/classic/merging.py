"""How the classic importer merges layers: which nodes of a network become one layer of its own.

Batch norm, Scale and Bias go into the convolution before them, dropout vanishes (both done by
`nibblefit.quantization.fold`); ReLU joins convolution, sum, product, linear layer and batch norm;
pooling of 2 × 2 with stride 2 joins the convolution before it when nobody else reads that; a 1 × 1
convolution on a 1 × 1 map is a fully connected layer; one input channel becomes two. Source:
classic TIDL importer, merging of layers.
"""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit.ir.attributes import window_of
from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op
from nibblefit.quantization.units import chains
from nibblefit_tidl.classic.numerics import FUSIONS
from nibblefit_tidl.complexity.weights import weights_of

#: Convolutions have at least this many input channels; a missing one is filled with zeros.
LEAST_CHANNELS = 2
_POOLS = (Op.MAX_POOL, Op.AVG_POOL)


@dataclass(frozen=True, slots=True)
class MergedLayer:
    """One layer as the importer counts it.

    Attributes:
        nodes: The network's nodes in it, in order; the first one does the work.
        fully_connected: It is a linear layer, or a convolution that acts as one.
        input_channels: Channels it reads after padding, 0 for layers without weights.
    """

    nodes: tuple[Node, ...]
    fully_connected: bool = False
    input_channels: int = 0

    @property
    def name(self) -> str:
        """Name of the working node."""
        return self.nodes[0].name

    @property
    def output(self) -> str:
        """Tensor it writes."""
        return self.nodes[-1].output

    @property
    def pool(self) -> Node | None:
        """The pooling that joined a convolution."""
        last = self.nodes[-1]
        return last if len(self.nodes) > 1 and last.op in _POOLS else None


def merged_layers(graph: Graph) -> tuple[MergedLayer, ...]:
    """Return the importer's layers of a folded graph, in execution order.

    Raises:
        UnsupportedError: Weights are computed by another layer.
    """
    found: list[tuple[Node, ...]] = []
    makers: dict[str, int] = {}
    for chain in chains(graph, FUSIONS):
        head = chain[0]
        maker = makers.get(head.inputs[0]) if head.op in _POOLS else None
        if maker is not None and _joins(graph, head, found[maker]):
            found[maker] = (*found[maker], *chain)
            makers[chain[-1].output] = maker
        else:
            makers.update(dict.fromkeys(chain[-1].outputs, len(found)))
            found.append(chain)
    return tuple(_layer(graph, nodes) for nodes in found)


def _joins(graph: Graph, pool: Node, before: tuple[Node, ...]) -> bool:
    """Return whether pooling goes into the layer before it."""
    window = window_of(pool.attributes, tuple(pool.attributes["kernel"]))
    halves = tuple(window.kernel) == (2, 2) and tuple(window.strides) == (2, 2)
    readers = graph.consumers()[pool.inputs[0]]
    alone = len(readers) == 1 and pool.inputs[0] not in graph.outputs
    return before[0].op is Op.CONV and before[-1].op not in _POOLS and halves and alone


def _layer(graph: Graph, nodes: tuple[Node, ...]) -> MergedLayer:
    head = nodes[0]
    if head.op is Op.LINEAR:
        return MergedLayer(nodes, True, int(weights_of(graph, head).shape[1]))
    if head.op is not Op.CONV:
        return MergedLayer(nodes)
    channels, *sizes = graph.shapes[head.inputs[0]]
    kernel = weights_of(graph, head).shape[2:]
    connected = all(size == 1 for size in (*sizes, *kernel))
    return MergedLayer(nodes, connected, max(channels, LEAST_CHANNELS))
