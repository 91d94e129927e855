"""`to_xir`: a quantized network of ours as an XIR graph."""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit_vitis.formats import NetworkFormats
from nibblefit_vitis.settings import Kind, NetworkSetting, RoundMode
from nibblefit_vitis.simulation.effective import HARDWARE, effective
from nibblefit_vitis.xir.building import Builder
from nibblefit_vitis.xir.graph import XirGraph, XirSubgraph
from nibblefit_vitis.xir.importing.names import OurNames
from nibblefit_vitis.xir.names import cleaned
from nibblefit_vitis.xir.operators import EMITTERS


@dataclass(frozen=True, slots=True)
class Exported:
    """A network in XIR's form.

    Attributes:
        graph: What is written.
        names: What cannot stand in the file, for reading it back.
    """

    graph: XirGraph
    names: OurNames


def to_xir(graph: Graph, formats: NetworkFormats, setting: NetworkSetting) -> Exported:
    """Return a network in the form that the DPU's compiler reads, at batch 1.

    Args:
        graph: Prepared float graph: canonical, batch norms folded.
        formats: Fix positions by tensor; other formats are refused.
        setting: How parameters are rounded.

    Raises:
        UnsupportedError: A layer or a format has no form there; names it.
    """
    _refuse_other_arithmetic(graph, setting)
    builder = Builder(graph, formats, setting)
    for index, name in enumerate(graph.inputs):
        builder.add_input(name, index)
    for node in graph.nodes:
        emitter = EMITTERS.get(node.op)
        if emitter is None:
            raise builder.refuse(node, "XIR has no such operator that the compiler takes",
                                 "compute it on the CPU, outside the network")  # fmt: skip
        emitter(builder, node)
    outputs = tuple(builder.add_output(name) for name in graph.outputs)
    operators = tuple(builder.operators)
    root = XirSubgraph("root", tuple(operator.name for operator in operators))
    written = XirGraph(cleaned(graph.name) or "network", operators, root)
    originals, layers = frozen_mapping(builder.originals), frozen_mapping(builder.layers)
    return Exported(written, OurNames(originals, layers, outputs))


def _refuse_other_arithmetic(graph: Graph, setting: NetworkSetting) -> None:
    """Refuse settings that an ``xmodel`` cannot state: ``fix`` rounds half up, to all codes.

    Raises:
        UnsupportedError: Names the layer and the setting.
    """
    if setting.device not in HARDWARE:
        raise UnsupportedError(
            f"target_device is {setting.device.value}; an xmodel is for the DPU",
            hint="set target_device to DPU",
        )
    for layer in ("", *(node.name for node in graph.nodes)):
        own = effective(setting, layer, Kind.ACTIVATION)
        if own.round_mode is not RoundMode.HALF_UP or own.narrow_range:
            raise UnsupportedError(
                f"activations{f' of layer {layer!r}' if layer else ''} round by "
                f"{own.round_mode.value}, narrow_range {str(own.narrow_range).lower()}; the DPU "
                "rounds half_up and uses all codes", hint="set half_up and narrow_range false",
            )  # fmt: skip
