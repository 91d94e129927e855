"""From formats to the graph of integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.quantization.build import lower
from nibblefit.quantization.lowering import LOWER
from nibblefit.quantization.units import units
from nibblefit_vitis.formats import NetworkFormats
from nibblefit_vitis.quantize.arithmetic import numerics_for
from nibblefit_vitis.quantize.assignment import assign
from nibblefit_vitis.settings import Kind, NetworkSetting

TARGET_NAME = "vitis"
#: Ends the name of what a layer reads where it has a width of its own.
READ = ".read"
#: Ends the name of an input without its lowest code.
NARROW = ".narrow"


def lower_network(graph: Graph, formats: NetworkFormats, setting: NetworkSetting, *,
                  metadata: Mapping[str, Any] | None = None) -> QuantizedGraph:  # fmt: skip
    """Return the integer graph of a prepared float graph and its (aligned) formats.

    Args:
        graph: Prepared float graph with the weights and biases to quantize.
        formats: One for every parameter and every group's end.
        setting: The configuration; it decides rounding and bounds.
        metadata: Written into the result.

    Raises:
        UnsupportedError: A format is missing or has no integer form.
    """
    refuse_foreign(graph)
    graph, formats = with_own_inputs(graph, formats)
    graph, formats, narrow = with_narrow_inputs(graph, formats, setting)
    numerics = numerics_for(formats, setting)
    parts = units(graph, numerics)
    assignment = assign(graph, parts, numerics, formats, setting)
    assignment.lowest.update({name: assignment.tensors[name].lo + 1 for name in narrow})
    return lower(graph, parts, numerics, assignment, target=TARGET_NAME, metadata=metadata)


def refuse_foreign(graph: Graph) -> None:
    """Refuse operators without an integer form.

    Raises:
        UnsupportedError: Names every such layer.
    """
    found = [f"'{node.name}' ({node.op.value})" for node in graph.nodes if node.op not in LOWER]
    if found:
        raise UnsupportedError(
            f"no integer form exists for {', '.join(found)}",
            hint="prepare the network first; batch norm and dropout go away there",
        )


def with_own_inputs(graph: Graph, formats: NetworkFormats) -> tuple[Graph, NetworkFormats]:
    """Return graph and formats with a node in front of every layer that reads a width of its own.

    The node changes nothing but the format.
    """
    nodes: list[Node] = []
    shapes, outputs = dict(graph.shapes), dict(formats.outputs)
    for node in graph.nodes:
        found = formats.inputs.get(node.name)
        if found is not None:
            source, read = node.inputs[0], node.name + READ
            nodes.append(Node(read, Op.IDENTITY, (source,), (read,), source=node.source))
            shapes[read], outputs[read] = shapes[source], found
            nodes.append(replace(node, inputs=(read, *node.inputs[1:])))
        else:
            nodes.append(node)
    changed = replace(graph, nodes=tuple(nodes), shapes=frozen_mapping(shapes))
    return changed, replace(formats, outputs=frozen_mapping(outputs), inputs=frozen_mapping())


def with_narrow_inputs(
    graph: Graph, formats: NetworkFormats, setting: NetworkSetting
) -> tuple[Graph, NetworkFormats, tuple[str, ...]]:
    """Return both with a node behind every input whose lowest code is not to be used, and these.

    An input's own format has that code, so the node takes it away.
    """
    names = {name: name + NARROW for name in graph.inputs if _is_narrow(setting, name)}
    first = [Node(new, Op.IDENTITY, (old,), (new,)) for old, new in names.items()]
    rest = [replace(node, inputs=tuple(names.get(name, name) for name in node.inputs))
            for node in graph.nodes]  # fmt: skip
    shapes = {**graph.shapes, **{new: graph.shapes[old] for old, new in names.items()}}
    outputs = {**formats.outputs, **{new: formats.outputs[old] for old, new in names.items()}}
    changed = replace(graph, nodes=(*first, *rest), shapes=frozen_mapping(shapes))
    return changed, replace(formats, outputs=frozen_mapping(outputs)), tuple(names.values())


def _is_narrow(setting: NetworkSetting, name: str) -> bool:
    chosen = setting.of(name, Kind.INPUT)
    return chosen.narrow_range and chosen.signed and chosen.symmetry
