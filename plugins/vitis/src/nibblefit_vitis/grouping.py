"""Groups: which operators share one quantizer, and which tensor it measures and rounds.

Source: pytorch_nndct 3.5, quantization groups: a quantizable operator takes the passive operators
behind it (rectifiers, layout changes) into its group, and one format is found where its last
operator that changes values ends. Only a leaky rectifier behind pools, concatenations and the like
is a group of its own here: integers reach it as codes, in a format that must hold both slopes.
"""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit_vitis.settings import Kind

#: Operators that only rearrange values; their output has the format of their input.
LAYOUT = frozenset(
    {Op.FLATTEN, Op.RESHAPE, Op.SPLIT, Op.SLICE, Op.TRANSPOSE, Op.PIXEL_SHUFFLE, Op.DROPOUT,
     Op.IDENTITY}
)  # fmt: skip
#: Operators that join the group of the layer before them.
PASSIVE = LAYOUT | {Op.RELU, Op.CLIP, Op.LEAKY_RELU}
#: Operators that, where they cannot join a group, keep the format of what they read: exact.
KEEPING = LAYOUT | {Op.RELU}
#: Operators whose sums a leaky rectifier may change before they are rounded.
SUMMING = WEIGHTED | {Op.SCALE_OFFSET, Op.MATMUL, Op.ADD, Op.SUB, Op.MUL}
#: Operators whose result is an index, not a number to be rounded.
UNROUNDED = frozenset({Op.ARGMAX})


@dataclass(frozen=True, slots=True)
class Group:
    """Operators with one quantizer.

    Attributes:
        members: In order of execution; the first one gives the group its configuration.
        end: The tensor that is measured and rounded: the output of the last member that is not a
            layout change.
        tensors: All tensors with the group's format: `end`, and its rearrangements.
        quantized: Whether the group has a format of its own. It has none where its only reader is
            a concatenation, which rounds all its inputs at once, where it only rearranges or
            rectifies a tensor that others read too, and where its result is an index.
    """

    members: tuple[Node, ...]
    end: str
    tensors: tuple[str, ...]
    quantized: bool

    @property
    def head(self) -> Node:
        """The operator that starts the group."""
        return self.members[0]


def groups(graph: Graph) -> tuple[Group, ...]:
    """Return the groups of a canonical graph, ordered by their first operator.

    Graph inputs are rounded too, each by itself, and belong to no group.
    """
    consumers, taken, found = graph.consumers(), set[str](), []
    for node in graph.nodes:
        if node.name not in taken:
            members = _members(graph, consumers, node)
            taken.update(member.name for member in members)
            found.append(_group(graph, consumers, members))
    return tuple(found)


def _members(graph: Graph, consumers: dict[str, list[Node]], head: Node) -> tuple[Node, ...]:
    """Return the head with the chain of passive operators that alone read it."""
    members = [head]
    while head.op not in UNROUNDED:
        reader = _only_reader(graph, consumers, members[-1])
        if reader is None or reader.op not in PASSIVE:
            break
        # Elsewhere codes arrive, and rounding them first would not commute with two slopes.
        if reader.op is Op.LEAKY_RELU and members[-1].op not in SUMMING:
            break
        # Behind a tensor that keeps a format, whatever changes values starts a group.
        if all(member.op in KEEPING for member in members) and reader.op not in KEEPING:
            break
        members.append(reader)
    return tuple(members)


def _only_reader(graph: Graph, consumers: dict[str, list[Node]], node: Node) -> Node | None:
    readers = consumers[node.output]
    alone = len(node.outputs) == 1 and len(readers) == 1 and node.output not in graph.outputs
    return readers[0] if alone else None


def _group(graph: Graph, consumers: dict[str, list[Node]], members: tuple[Node, ...]) -> Group:
    computing = [place for place, node in enumerate(members) if node.op not in LAYOUT]
    last = computing[-1] if computing else 0
    tensors = [name for node in members[last:] for name in node.outputs]
    reader = _only_reader(graph, consumers, members[-1])
    joined = reader is not None and reader.op is Op.CONCAT
    own = members[0].op not in UNROUNDED and any(node.op not in KEEPING for node in members)
    return Group(members, members[last].output, tuple(tensors), own and not joined)


def carriers(graph: Graph) -> dict[str, str]:
    """Map every tensor to the one whose entry in `NetworkFormats.outputs` is its format.

    A tensor that a concatenation rounds has the concatenation's format. Results that are not
    rounded (indices) are left out.
    """
    found = {name: name for name in graph.inputs}
    parts = groups(graph)
    for group in parts:
        if group.quantized:
            found.update(dict.fromkeys(group.tensors, group.end))
        elif group.members[0].op in KEEPING and group.members[0].inputs[0] in found:
            found.update(dict.fromkeys(group.tensors, found[group.members[0].inputs[0]]))
    readers = graph.consumers()
    for group in reversed(parts):
        concat = _only_reader(graph, readers, group.members[-1])
        if concat is not None and concat.op is Op.CONCAT and concat.output in found:
            for name in group.tensors:
                found.setdefault(name, found[concat.output])
    return found


@dataclass(frozen=True, slots=True)
class Parameter:
    """A constant that a layer reads.

    Attributes:
        name: Of the constant.
        node: Its first reader, whose configuration holds.
        kind: WEIGHTS or BIAS.
        axis: Axis of output channels; None where there is none.
    """

    name: str
    node: Node
    kind: Kind
    axis: int | None


def parameters(graph: Graph) -> tuple[Parameter, ...]:
    """Return all constants in the order in which they are read, each once."""
    found: dict[str, Parameter] = {}
    for node in graph.nodes:
        for place, name in enumerate(node.inputs):
            if name in graph.constants and name not in found:
                found[name] = _parameter(node, place, name)
    return tuple(found.values())


def _parameter(node: Node, place: int, name: str) -> Parameter:
    affine = node.op in WEIGHTED or node.op is Op.SCALE_OFFSET
    kind = Kind.BIAS if affine and place == 2 else Kind.WEIGHTS
    return Parameter(name, node, kind, _channel_axis(node) if affine else None)


def _channel_axis(node: Node) -> int | None:
    """Source: pytorch_nndct 3.5: axis 0 of weights, 1 of transposed convolutions."""
    if node.op is not Op.CONV_TRANSPOSE:
        return 0
    # Output channels of a grouped transposed convolution do not lie along one axis.
    return 1 if int(node.attributes.get("groups", 1)) == 1 else None
