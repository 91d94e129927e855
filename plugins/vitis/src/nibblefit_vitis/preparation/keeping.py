"""More accuracy for the outermost layers and for sums, in the two ways a device allows.

Where a device has wider words than 8 bits, these layers get 16 (`widened`, before calibration).
The DPU has 8 bits only: there (`refined`, after calibration) the positions around the
calibrated ones, coarser ones included, are compared by the error they leave in the layer's output,
on its own rounded input, instead of the error in each tensor alone, and weights are rounded
together, so that their errors cancel. A proposal is taken only where the whole network comes nearer
to the float network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit_vitis.calibration import Calibrated
from nibblefit_vitis.formats import FixPosition, NetworkFormats
from nibblefit_vitis.grouping import Group, groups
from nibblefit_vitis.preparation.refining import Refining
from nibblefit_vitis.settings import Device, Kind, LayerSetting, NetworkSetting

#: Devices whose tensors are not bound to 8 bits. Source: pytorch_nndct 3.5, accepted settings.
_WIDE_DEVICES = frozenset({Device.CPU, Device.GPU})
_WIDE_BITS = 16
_RESERVED = (
    "keep_first_last_layer_accuracy and keep_add_layer_accuracy do nothing in parity mode: the "
    "original only reserves their names"
)


def outermost(graph: Graph) -> tuple[Node, ...]:
    """Return layers with weights that no other one precedes, then those that none follows."""
    layers = {
        node.name for node in graph.nodes
        if node.op in WEIGHTED and node.inputs[1] in graph.constants
    }  # fmt: skip
    behind, before = set[str](), set[str]()
    first, last = [], []
    for node in graph.nodes:
        if not behind.isdisjoint(node.inputs):
            behind.update(node.outputs)
        elif node.name in layers:
            first.append(node)
            behind.update(node.outputs)
    for node in reversed(graph.nodes):
        if not before.isdisjoint(node.outputs):
            before.update(node.inputs)
        elif node.name in layers:
            last.append(node)
            before.update(node.inputs)
    return (*first, *(node for node in reversed(last) if node not in first))


def kept_groups(graph: Graph, setting: NetworkSetting) -> tuple[Group, ...]:
    """Return the groups that the two options are about, in the order of execution."""
    names = set[str]()
    if setting.keep_first_last_layer_accuracy:
        names = {node.name for node in outermost(graph)}
    return tuple(
        group for group in groups(graph)
        if group.head.name in names
        or (setting.keep_add_layer_accuracy and group.head.op is Op.ADD)
    )  # fmt: skip


def widened(graph: Graph, setting: NetworkSetting) -> tuple[NetworkSetting, tuple[str, ...]]:
    """Return the setting with 16 bits for the layers to be kept, where the device has them.

    Args:
        graph: The prepared graph.
        setting: The configuration; one in parity mode ignores both options, as the original does.
    """
    asked = setting.keep_first_last_layer_accuracy or setting.keep_add_layer_accuracy
    if setting.parity and asked:
        return setting, (_RESERVED,)
    if setting.device not in _WIDE_DEVICES:
        return setting, ()
    layers, notes = dict(setting.layers), []
    for group in kept_groups(graph, setting):
        name = group.head.name
        own = layers.get(name, setting.base)
        layers[name] = _wide(own, group)
        if layers[name] != own:
            notes.append(f"layer '{name}' has {_WIDE_BITS} bits: its accuracy is to be kept")
    return replace(setting, layers=frozen_mapping(layers)), tuple(notes)


def _wide(own: LayerSetting, group: Group) -> LayerSetting:
    kinds = (Kind.ACTIVATION,) if group.head.op is Op.ADD else (Kind.WEIGHTS, Kind.ACTIVATION)
    return MappingProxyType({
        kind: replace(given, bit_width=max(given.bit_width, _WIDE_BITS)) if kind in kinds else given
        for kind, given in own.items()
    })  # fmt: skip


def refined(
    graph: Graph, calibrated: Calibrated, setting: NetworkSetting,
    batches: Iterable[npt.NDArray[np.float32]],
) -> tuple[Graph, Calibrated]:  # fmt: skip
    """Return a network and formats that are better for the layers to be kept, with notes.

    Weights of the outermost layers come back as codes of their format. Where they or their format
    changed, the correction of the layer's bias is made anew.

    Args:
        graph: The prepared graph that was calibrated, biases as they were.
        calibrated: What calibration found, before alignment.
        setting: The configuration.
        batches: Calibration inputs; the first 64 samples are used.

    Raises:
        InputError: There are no batches.
    """
    wide = setting.parity or setting.device in _WIDE_DEVICES
    wanted = () if wide else kept_groups(graph, setting)
    if not wanted:
        return graph, calibrated
    search = Refining(graph, calibrated, setting, batches)
    notes = tuple(_improved(search, group) for group in wanted)
    found = replace(calibrated, formats=search.formats, corrections=search.corrections,
                    notes=(*calibrated.notes, *notes))  # fmt: skip
    return graph.with_constants(search.weights) if search.weights else graph, found


def _improved(search: Refining, group: Group) -> str:
    """Improve one layer, and say what was done."""
    done, before = list[str](), search.formats
    search.accept(group, search.best(group))
    for moves in search.single_moves(group):
        search.accept(group, moves)
    done += _moves(before, search.formats)
    if group.head.op in WEIGHTED and search.compensate(group):
        done.append("weights rounded together")
    what = ", ".join(done) or "nothing is better than calibration's choice"
    return f"layer '{group.head.name}' keeps accuracy: {what}"


def _moves(before: NetworkFormats, after: NetworkFormats) -> list[str]:
    def positions(formats: NetworkFormats) -> Mapping[str, int]:
        both = {**formats.params, **formats.outputs}
        return {n: f.position for n, f in both.items() if isinstance(f, FixPosition)}

    old, new = positions(before), positions(after)
    return [f"fix position of '{n}' {old[n]} → {new[n]}" for n in new if new[n] != old[n]]
