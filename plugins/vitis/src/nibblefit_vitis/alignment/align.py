"""Alignment of a whole network."""

from __future__ import annotations

from nibblefit.ir.graph import Graph
from nibblefit_vitis.alignment.positions import Change, Positions
from nibblefit_vitis.alignment.rules import CONCATENATIONS, POOLS, RULES, equal_ends
from nibblefit_vitis.formats import NetworkFormats
from nibblefit_vitis.options import Direction
from nibblefit_vitis.settings import Device, NetworkSetting

#: Moving one position may push another out of range; after so many sweeps the rest stays.
#: Source: AMD Quark 0.13.
_SWEEPS = 5


def align(
    graph: Graph, formats: NetworkFormats, setting: NetworkSetting, *,
    direction: Direction = "output",
) -> tuple[NetworkFormats, tuple[Change, ...]]:  # fmt: skip
    """Return formats whose shifts the hardware has, and every change.

    Against the data flow, inputs and outputs of concatenations and pools get one position where
    the configuration asks for it; then, with the flow, each layer's shifts are brought into
    range. In parity mode that is done once, with the original's rules alone; otherwise with the
    union of the original's and Quark's, until nothing moves. Float scales, and devices that are
    no DPU, are left alone.

    Args:
        graph: Prepared float graph.
        formats: What calibration found.
        setting: The configuration.
        direction: What gives way where a shift is out of range: the layer's ``output``, as in
            Vitis AI, or its ``weights`` (and bias), as in Quark.
    """
    if setting.device not in (Device.DPU, Device.FLEXML):
        return formats, ()
    at = Positions(graph, formats)
    for _ in range(1 if setting.parity else _SWEEPS):
        before = len(at.changes)
        _sweep(at, setting, direction)
        if len(at.changes) == before:
            break
    return at.formats(), tuple(at.changes)


def _sweep(at: Positions, setting: NetworkSetting, direction: Direction) -> None:
    adopting = (CONCATENATIONS if setting.change_concat_input_fix else frozenset()) | (
        POOLS if setting.change_pool_input_fix else frozenset()
    )
    for node in reversed(at.graph.nodes):
        if node.op in adopting:
            equal_ends(at, node, setting)
    for node in at.graph.nodes:
        rule = RULES.get(node.op)
        if rule is not None:
            rule(at, node, setting, direction)
