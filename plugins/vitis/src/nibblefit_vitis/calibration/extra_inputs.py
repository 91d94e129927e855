"""Layers that read their input in a width of its own."""

from __future__ import annotations

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit_vitis.grouping import carriers, groups
from nibblefit_vitis.settings import Kind, NetworkSetting
from nibblefit_vitis.simulation.effective import effective

_LAYERS = frozenset({Op.CONV, Op.LINEAR})


def layers_with_input_format(graph: Graph, setting: NetworkSetting) -> frozenset[str]:
    """Return the layers whose input is rounded once more.

    In parity mode these are all convolutions and dense layers whose weights and input differ in
    width, as in the original; else those among them whose input does not have that width already.
    """
    owners, heads = carriers(graph), {group.end: group.head.name for group in groups(graph)}
    found = set()
    for node in graph.nodes:
        if node.op not in _LAYERS:
            continue
        width = effective(setting, node.name, Kind.INPUT).bit_width
        if width == effective(setting, node.name, Kind.WEIGHTS).bit_width:
            continue
        owner = owners.get(node.inputs[0], node.inputs[0])
        kind = Kind.ACTIVATION if owner in heads else Kind.INPUT
        if setting.parity or width != effective(setting, heads.get(owner, owner), kind).bit_width:
            found.add(node.name)
    return frozenset(found)
