"""A batch norm behind a concatenation of channels becomes one behind every branch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from nibblefit.ir.graph import FloatConstant, Graph, Node, frozen_mapping
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.nn.names import FIXED, Names
from nibblefit.nn.rewrite.affine import affine_of
from nibblefit.nn.rewrite.live import is_only_reader, live


def split_norms(graph: Graph, *, into: Collection[Op] = WEIGHTED) -> Graph:
    """Return the graph with batch norms moved from behind a concatenation into its branches.

    Only where every branch ends in a layer that the concatenation alone reads and that
    `fold_batch_norm` can fold its part into.

    Args:
        graph: Any float graph.
        into: Weighted operators that take a batch norm.
    """
    producers, consumers = graph.producers(), graph.consumers()
    moved: dict[str, Node] = {}
    for concat in graph.nodes:
        readers = consumers[concat.output] if concat.op is Op.CONCAT else []
        if len(readers) == 1 and _can_move(
            graph, producers, concat, readers[0], into
        ):  # fmt: skip
            moved[concat.name] = readers[0]
    if not moved:
        return graph
    return live(_moved(graph, moved))


def _can_move(graph: Graph, producers: dict[str, Node], concat: Node, norm: Node,
              into: Collection[Op]) -> bool:  # fmt: skip
    """Return whether `norm` may act before `concat`."""
    if concat.attributes["axis"] != 1 or not is_only_reader(graph, concat.output):
        return False
    if norm.inputs[0] != concat.output or affine_of(graph, norm) is None:
        return False
    layers = [producers.get(name) for name in concat.inputs]
    return all(
        layer is not None and layer.op in into and is_only_reader(graph, layer.output)
        and (layer.op is not Op.LINEAR or len(graph.shapes[layer.output]) == 1)
        and all(name in graph.constants for name in layer.inputs[1:])
        for layer in layers
    )  # fmt: skip


def _moved(graph: Graph, moved: dict[str, Node]) -> Graph:
    gone = {norm.name: concat for concat, norm in moved.items()}
    shapes, constants = dict(graph.shapes), dict(graph.constants)
    names = Names()
    for name in (*graph.constants, *graph.shapes, *(node.name for node in graph.nodes)):
        names.claim(name)
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.name in gone:
            continue
        if node.name not in moved:
            nodes.append(node)
            continue
        norm = moved[node.name]
        parts = _parts(graph, node, norm, constants, names)
        for part, source in zip(parts, node.inputs):
            shapes[part.output] = graph.shapes[source]
        nodes += parts
        # The concatenation takes the norm's tensor, so that whoever reads it stays as it is.
        nodes.append(replace(node, inputs=tuple(part.output for part in parts),
                             outputs=norm.outputs))  # fmt: skip
    return replace(graph, nodes=tuple(nodes), shapes=frozen_mapping(shapes),
                   constants=frozen_mapping(constants))  # fmt: skip


def _parts(graph: Graph, concat: Node, norm: Node, constants: dict[str, FloatConstant],
           names: Names) -> list[Node]:  # fmt: skip
    """Return one norm per branch, with its share of the parameters."""
    found, start = [], 0
    for place, source in enumerate(concat.inputs):
        end = start + graph.shapes[source][0]
        name = names.claim(f"{norm.name}:{place}")
        inputs = [source]
        for parameter in norm.inputs[1:]:
            fixed = FIXED if parameter.endswith(FIXED) else ""
            share = names.claim(f"{parameter.removesuffix(FIXED)}:{place}{fixed}")
            constants[share] = _share(constants[parameter], start, end)
            inputs.append(share)
        found.append(replace(norm, name=name, inputs=tuple(inputs), outputs=(name,)))
        start = end
    return found


def _share(values: FloatConstant, start: int, end: int) -> FloatConstant:
    share: FloatConstant = values[start:end].copy()
    share.flags.writeable = False
    return share
