"""What is rounded in a network, by names of its folded graph, and where batch norms go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.nn.rewrite import remove_identity, split_norms
from nibblefit_vitis.formats import FixPosition, NetworkFormats
from nibblefit_vitis.grouping import KEEPING, Group, groups, parameters
from nibblefit_vitis.preparation import prepare_graph
from nibblefit_vitis.preparation.prepare import has_fixed_slope, replaced
from nibblefit_vitis.preparation.replacing import fix_leaky_slopes, own_parameters
from nibblefit_vitis.qat.rounding import Codes
from nibblefit_vitis.settings import Kind, NetworkSetting, ScaleType, TensorSetting
from nibblefit_vitis.simulation.effective import effective


@dataclass(frozen=True, slots=True)
class Place:
    """One tensor that is rounded.

    Attributes:
        name: Of the tensor or constant in the folded graph.
        kind: What it is.
        setting: How it is rounded.
    """

    name: str
    kind: Kind
    setting: TensorSetting

    @property
    def is_parameter(self) -> bool:
        """Whether it is a constant."""
        return self.kind in (Kind.WEIGHTS, Kind.BIAS)

    def codes(self, position: int) -> Codes:
        """Return the format with a fix position."""
        own = self.setting
        return Codes(position, own.lowest, own.highest, own.round_mode)


def qat_setting(setting: NetworkSetting) -> NetworkSetting:
    """Return the setting under which trained networks are prepared: nothing is equalized."""
    return replace(setting, include_cle=False, include_bias_corr=False)


def trainable_graph(graph: Graph, setting: NetworkSetting) -> Graph:
    """Return the graph that trains: with its batch norms, each behind one layer, and dropout."""
    graph, _ = replaced(graph, qat_setting(setting))
    graph, _ = own_parameters(graph)
    if has_fixed_slope(setting):
        graph, _ = fix_leaky_slopes(graph)
    return split_norms(remove_identity(graph))


def folded_graph(graph: Graph, setting: NetworkSetting) -> Graph:
    """Return the graph that is calibrated and lowered, whose names formats have."""
    return prepare_graph(graph, qat_setting(setting)).graph


def places(folded: Graph, setting: NetworkSetting) -> tuple[Place, ...]:
    """Return everything that is rounded: inputs, parameters, ends of groups.

    Raises:
        UnsupportedError: A tensor asks for what thresholds cannot say: float scales, codes without
            sign, one scale per channel.
    """
    found = [Place(name, Kind.INPUT, _of(setting, name, Kind.INPUT)) for name in folded.inputs]
    for parameter in parameters(folded):
        own = _of(setting, parameter.node.name, parameter.kind)
        found.append(Place(parameter.name, parameter.kind, own))
    for group in groups(folded):
        if group.quantized:
            own = _of(setting, group.head.name, Kind.ACTIVATION)
            found.append(Place(group.end, Kind.ACTIVATION, own))
    return tuple(found)


def joined(folded: Graph) -> Mapping[str, str]:
    """Map concatenations, and layers that only they read, to the end of the group they belong to.

    These layers write codes, so an activation behind a concatenation reads codes, not sums.
    """
    parts = {group.end: group for group in groups(folded)}
    found: dict[str, str] = {}
    for group in reversed(parts.values()):
        end = group.end if group.quantized else found.get(group.end, "")
        if group.head.op is not Op.CONCAT or not end:
            continue
        found[group.head.output] = end
        for name in group.head.inputs:
            branch = parts.get(name)
            if branch is not None and not branch.quantized and _computes(branch):
                found[name] = end
    return {name: end for name, end in found.items() if name != end}


def _computes(group: Group) -> bool:
    return any(node.op not in KEEPING for node in group.members)


def _of(setting: NetworkSetting, layer: str, kind: Kind) -> TensorSetting:
    own = effective(setting, layer, kind)
    if own.scale_type is not ScaleType.POWER_OF_TWO or own.per_channel or own.lowest == 0:
        raise UnsupportedError(
            f"quantized training of layer '{layer}', {kind.value}: one signed power-of-two scale "
            f"per tensor is trained; found scale_type {own.scale_type.value}, per_channel "
            f"{str(own.per_channel).lower()}, symmetry {str(own.symmetry).lower()}, signed "
            f"{str(own.signed).lower()}",
            hint="set scale_type poweroftwo, per_channel false, symmetry and signed true, or "
            "switch target.qat off",
        )
    return own


def norms_behind(graph: Graph, folded: Graph) -> dict[str, tuple[Node, ...]]:
    """Map layers to the batch norms that folding puts into them, in order."""
    kept = {node.name for node in folded.nodes}
    consumers = graph.consumers()
    found: dict[str, tuple[Node, ...]] = {}
    for layer in graph.nodes:
        chain: list[Node] = []
        reader = _norm_behind(consumers, layer) if layer.op in WEIGHTED else None
        while reader is not None and reader.name not in kept:
            chain.append(reader)
            reader = _norm_behind(consumers, reader)
        if chain:
            found[layer.name] = tuple(chain)
    return found


def _norm_behind(consumers: Mapping[str, list[Node]], node: Node) -> Node | None:
    readers = consumers[node.output]
    alone = len(readers) == 1 and readers[0].op is Op.BATCH_NORM
    return readers[0] if alone and readers[0].inputs[0] == node.output else None


def network_formats(found: tuple[Place, ...], positions: Mapping[str, int]) -> NetworkFormats:
    """Return formats with these fix positions."""

    def formats(parameters: bool) -> Mapping[str, FixPosition]:
        return frozen_mapping({
            place.name: FixPosition(place.setting.bit_width, positions[place.name])
            for place in found if place.is_parameter is parameters
        })  # fmt: skip

    return NetworkFormats(params=formats(True), outputs=formats(False))
