"""From a configuration and a network to what is asked for every tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit_vitis.configuration.matching import matched, unmatched_note
from nibblefit_vitis.configuration.merging import Scope, merge
from nibblefit_vitis.configuration.original import RESERVED
from nibblefit_vitis.configuration.problems import dotted
from nibblefit_vitis.configuration.read import check_configuration
from nibblefit_vitis.configuration.schema import Configuration, LayerEntry
from nibblefit_vitis.grouping import groups
from nibblefit_vitis.settings import (
    Device,
    Kind,
    LayerSetting,
    Method,
    NetworkSetting,
    RoundMode,
    TensorSetting,
)

#: Operators that preparation takes away or folds into the layer before them.
_VANISHING = frozenset({Op.BATCH_NORM, Op.DROPOUT, Op.IDENTITY})


@dataclass(frozen=True, slots=True)
class _Hit:
    """An entry that means a layer.

    Attributes:
        scope: The entry's merged settings.
        entry: As it was written.
    """

    scope: Scope
    entry: LayerEntry


def resolve(
    configuration: Configuration, graph: Graph, *, parity: bool
) -> tuple[NetworkSetting, tuple[str, ...]]:
    """Return the merged settings of a network, and notes for the user.

    Args:
        configuration: From `nibblefit_vitis.configuration.read`, or made in Python.
        graph: The float network, before or after preparation.
        parity: Do as the original does.

    Returns:
        The settings, and what reading and matching have to say: ignored keys, entries that match
        no layer.

    Raises:
        InputError: Settings do not go together, or two entries of one sort want different things
            for activations that are rounded at once.
    """
    check_configuration(configuration, parity=parity)
    network, *entries = merge(configuration, parity=parity)
    base = _as_quantized(network.setting, configuration.device, parity)
    hits, notes = _hits(configuration, entries, graph, parity=parity)
    layers = {}
    for name, own in _settings(graph, base, hits):
        setting = _as_quantized(own, configuration.device, parity)
        if setting != base:
            layers[name] = setting
    found = NetworkSetting(
        device=configuration.device, parity=parity, base=base, layers=MappingProxyType(layers)
    )
    switches = {key: getattr(configuration, key) for key in _SWITCHES
                if getattr(configuration, key) is not None
                and not (parity and key in RESERVED)}  # fmt: skip
    return replace(found, **switches), (*configuration.notes, *notes)


_SWITCHES = (
    "include_cle", "include_bias_corr", "convert_relu6_to_relu", "convert_silu_to_hswish",
    "keep_first_last_layer_accuracy", "keep_add_layer_accuracy", "change_concat_input_fix",
    "change_pool_input_fix", "onnx_opset_version",
)  # fmt: skip
#: Operators whose weights have channels of outputs.
_WITH_CHANNELS = WEIGHTED | {Op.BATCH_NORM, Op.SCALE_OFFSET}
#: Which entries win: the first sort.
_SORTS = ("layer_name", "layer_type")


def _hits(
    configuration: Configuration, scopes: Sequence[Scope], graph: Graph, *, parity: bool
) -> tuple[dict[str, list[_Hit]], list[str]]:
    """Return the entries that mean each layer; of equal ones only the last is left."""
    latest = {(one.kind_of_name, one.named): number
              for number, one in enumerate(configuration.layer_quantize_config)}  # fmt: skip
    found: dict[str, list[_Hit]] = {}
    notes = []
    for number, (entry, scope) in enumerate(zip(configuration.layer_quantize_config, scopes)):
        if latest[entry.kind_of_name, entry.named] != number:
            continue
        names = matched(entry, graph, parity=parity)
        _refuse_no_channels(_Hit(scope, entry), [n for n in graph.nodes if n.name in names])
        if not names:
            notes.append(unmatched_note(entry, number, graph))
        for name in names:
            found.setdefault(name, []).append(_Hit(scope, entry))
    return found, notes


def _refuse_no_channels(hit: _Hit, nodes: Sequence[Node]) -> None:
    """Refuse scales per channel for a type of layers that has no channels of weights."""
    weights = hit.scope.merged.get(Kind.WEIGHTS)
    asks = weights is not None and weights.setting.per_channel and (
        weights.origins.get("per_channel", ())[:2] == hit.scope.path)  # fmt: skip
    lacks = nodes and all(node.op not in _WITH_CHANNELS for node in nodes)
    if asks and lacks and hit.entry.kind_of_name == "layer_type":
        raise InputError(
            f"{dotted(hit.scope.path)}: per_channel = true for weights of layer_type "
            f"'{hit.entry.named}', which has no channels of weights; accepted for convolutions, "
            "linear layers and batch norms",
            hint='leave "weights" out of its quantizable_data_type',
        )


def _settings(
    graph: Graph, base: LayerSetting, hits: Mapping[str, Sequence[_Hit]]
) -> Iterator[tuple[str, LayerSetting]]:
    """Yield the settings of every graph input and node; names win over types, later over earlier.

    Parameters and inputs follow their own node, activations the group that is rounded at once.
    """
    for name in graph.inputs:
        yield name, MappingProxyType({**base, **_wanted(hits.get(name, ()))})
    for members in _rounded_at_once(graph):
        activation = _activation(members, hits)
        for node in members:
            found = {**base, **_wanted(hits.get(node.name, ()))}
            yield node.name, MappingProxyType({**found, Kind.ACTIVATION: activation
                                             or base[Kind.ACTIVATION]})  # fmt: skip


def _wanted(hits: Sequence[_Hit]) -> dict[Kind, TensorSetting]:
    """Return what entries want for one layer."""
    found: dict[Kind, TensorSetting] = {}
    for sort in reversed(_SORTS):
        for hit in (hit for hit in hits if hit.entry.kind_of_name == sort):
            found |= hit.scope.setting
    return found


def _activation(
    members: Sequence[Node], hits: Mapping[str, Sequence[_Hit]]
) -> TensorSetting | None:
    """Return what the last entry wants for a group's activation; names go before types.

    Raises:
        InputError: Another entry wants something else for other members of the group.
    """
    for sort in _SORTS:
        places: dict[int, set[str]] = {}
        entries: dict[int, _Hit] = {}
        for node in members:
            for hit in hits.get(node.name, ()):
                number = hit.scope.entry
                if hit.entry.kind_of_name == sort and Kind.ACTIVATION in hit.scope.merged:
                    assert number is not None  # the network's scope is no entry
                    places.setdefault(number, set()).add(node.name)
                    entries[number] = hit
        if not places:
            continue
        last = max(places)
        winner = entries[last]
        for number, other in entries.items():
            if places[number].isdisjoint(places[last]):
                _refuse_difference(members, other, winner)
        return winner.scope.setting[Kind.ACTIVATION]
    return None


def _refuse_difference(members: Sequence[Node], first: _Hit, second: _Hit) -> None:
    if first.scope.setting[Kind.ACTIVATION] == second.scope.setting[Kind.ACTIVATION]:
        return
    raise InputError(
        f"{dotted(first.scope.path)} ('{first.entry.named}') and {dotted(second.scope.path)} "
        f"('{second.entry.named}') want different activations for "
        f"{', '.join(node.name for node in members)}, which are rounded once, together",
        hint='leave "activation" out of quantizable_data_type in one of them',
    )


def _rounded_at_once(graph: Graph) -> list[list[Node]]:
    """Return the groups, with layers that preparation folds away in the group before them."""
    group_of: dict[str, int] = {}
    found: list[list[Node]] = []
    makers = graph.producers()
    readers = graph.consumers()
    for group in groups(graph):
        source = group.head.inputs[0] if group.head.inputs else ""
        maker = makers.get(source)
        joins = group.head.op in _VANISHING and maker is not None and len(readers[source]) == 1
        number = group_of[maker.name] if joins and maker is not None else len(found)
        if number == len(found):
            found.append([])
        found[number] += group.members
        group_of |= dict.fromkeys((node.name for node in group.members), number)
    return found


def _as_quantized(setting: LayerSetting, device: Device, parity: bool) -> LayerSetting:
    """Return what really happens: the original's fix-position classes ignore some keys."""
    if not parity or device not in (Device.DPU, Device.FLEXML):
        return setting
    found = {kind: replace(one, method=Method.MAXMIN if kind is Kind.INPUT else Method.DIFFS)
             for kind, one in setting.items()}  # fmt: skip
    if device is Device.DPU:
        found[Kind.INPUT] = replace(found[Kind.INPUT], round_mode=RoundMode.HALF_UP)
    return MappingProxyType(found)
