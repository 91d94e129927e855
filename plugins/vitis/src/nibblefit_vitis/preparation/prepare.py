"""The order of preparation, and what it reports."""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit.ir.graph import Graph
from nibblefit.nn.rewrite import remove_dropout, remove_identity
from nibblefit_vitis.preparation.chains import Pair, pairs
from nibblefit_vitis.preparation.equalization import equalize
from nibblefit_vitis.preparation.norms import fold_norms
from nibblefit_vitis.preparation.replacing import (
    Changed,
    fix_leaky_slopes,
    own_parameters,
    relu6_to_relu,
    silu_to_hard_swish,
)
from nibblefit_vitis.settings import Device, NetworkSetting

#: Devices with one slope for all leaky ReLUs.
_FIXED_SLOPE = frozenset({Device.DPU, Device.FLEXML})
_AS_ASKED = "convert_relu6_to_relu is set; train or evaluate the float network with ReLU to compare"
_AS_ORIGINAL = "the original does so wherever include_cle is set"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A network ready for calibration.

    Attributes:
        graph: Without batch norm and dropout; equalized where asked for.
        notes: One line for every change of what the network computes or how, and for everything
            that was asked for and could not be done.
        equalized: Pairs of layers (node names) whose weights were equalized.
    """

    graph: Graph
    notes: tuple[str, ...]
    equalized: tuple[tuple[str, str], ...]


def prepare_graph(graph: Graph, setting: NetworkSetting) -> Prepared:
    """Return a network in the form in which it is calibrated.

    Order (source: pytorch_nndct 3.5): replacements, own parameters for every layer, batch norm
    folding, no dropout, cross-layer equalization, slopes. Only what `Prepared.notes` says changes
    the function; equalization never does unless parity asks for the original's ReLU.
    """
    graph, notes = replaced(graph, setting)
    graph, found = own_parameters(graph)
    notes += found
    graph, found = fold_norms(remove_identity(remove_dropout(graph)), parity=setting.parity)
    notes += found
    equalized: tuple[Pair, ...] = ()
    if setting.include_cle:
        equalized, found = _equalizable(pairs(graph))
        graph, notes = equalize(graph, equalized), notes + found
    if has_fixed_slope(setting):
        graph, found = fix_leaky_slopes(graph)
        notes += found
    return Prepared(graph, notes, tuple((p.first.name, p.second.name) for p in equalized))


def has_fixed_slope(setting: NetworkSetting) -> bool:
    """Return whether leaky ReLUs must have the DPU's slope; the original makes them always."""
    return setting.parity or setting.device in _FIXED_SLOPE


def replaced(graph: Graph, setting: NetworkSetting) -> Changed:
    """Return the graph with the activations that were asked for."""
    notes: tuple[str, ...] = ()
    if setting.convert_relu6_to_relu:
        graph, notes = relu6_to_relu(graph, _AS_ASKED)
    elif setting.parity and setting.include_cle:
        graph, notes = relu6_to_relu(graph, _AS_ORIGINAL)
    if setting.convert_silu_to_hswish:
        graph, found = silu_to_hard_swish(graph)
        notes += found
    return graph, notes


def _equalizable(found: tuple[Pair, ...]) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """Return the pairs that equalization leaves exact, and a note for every other."""
    notes = []
    for pair in found:
        if pair.clips:
            clip = pair.clips[0]
            notes.append(
                f"'{pair.first.name}' and '{pair.second.name}' are not equalized: "
                f"'{clip.name}' clips at {clip.attributes['hi']:g} in every channel, and the DPU "
                f"has no bound per channel; convert_relu6_to_relu would allow it"
            )
    return tuple(pair for pair in found if not pair.clips), tuple(notes)
