"""`network_of`: a quantized XIR graph as a float graph of ours with its formats."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nibblefit.errors import InputError, UnsupportedError, did_you_mean
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.legal import violations
from nibblefit_vitis.formats import FixPosition, NetworkFormats
from nibblefit_vitis.xir.graph import XirGraph, XirOperator
from nibblefit_vitis.xir.importing import layers, moving, pointwise
from nibblefit_vitis.xir.importing.assembly import Assembly
from nibblefit_vitis.xir.importing.fixes import read_fix
from nibblefit_vitis.xir.importing.names import OurNames
from nibblefit_vitis.xir.importing.views import image_axes

_READERS = {**layers.READERS, **moving.READERS, **pointwise.READERS}


@dataclass(frozen=True, slots=True)
class ReadNetwork:
    """A network read from an ``xmodel``.

    Attributes:
        graph: The float graph; its parameters are the real values of their codes.
        formats: Fix positions of tensors and parameters.
    """

    graph: Graph
    formats: NetworkFormats


def network_of(xir: XirGraph, names: OurNames | None = None, file: str = "xmodel") -> ReadNetwork:
    """Return the network that a quantized (not compiled) XIR graph states.

    Args:
        xir: The graph.
        names: Ours, as the writer kept them; None: XIR's names, and as outputs all tensors that
            nothing reads.
        file: Named in errors.

    Raises:
        UnsupportedError: An operator has no form in our graph.
        InputError: Operators do not fit each other.
    """
    known = names or OurNames()
    assembly = Assembly(file, known, xir)
    inner = {name for macro in assembly.macros.values() for name in macro.inner}
    for operator in xir.operators:
        if operator.name in assembly.macros:
            _read_macro(assembly, operator)
        elif operator.name not in inner:
            _read(assembly, operator)
    graph = _graph(assembly, xir.name, known.outputs or tuple(assembly.unread()))
    formats = NetworkFormats(
        frozen_mapping({name: assembly.params.get(name) for name in assembly.constants}),
        frozen_mapping(assembly.outputs), frozen_mapping(assembly.extra),
    )  # fmt: skip
    return ReadNetwork(graph, formats)


def _graph(assembly: Assembly, name: str, ends: tuple[str, ...]) -> Graph:
    """Return the sound graph that was collected, its images channels-first."""
    made = []
    for end in ends:
        if end not in assembly.views:
            raise InputError(f"{assembly.file}: output '{end}' is no tensor of the file",
                             hint="take the names that were written with it")  # fmt: skip
        view = assembly.views[end]
        axes = image_axes(len(view.axes))
        made.append((view if view.axes == axes else assembly.settled(view, axes)).tensor)
    graph = Graph(
        name, tuple(assembly.inputs), tuple(made), tuple(assembly.nodes),
        frozen_mapping(assembly.shapes), frozen_mapping(assembly.constants),
    )  # fmt: skip
    for violation in violations(graph):
        raise InputError(f"{assembly.file} states no sound network: {violation}",
                         hint="give a quantized xmodel, as an exporter wrote it")  # fmt: skip
    return graph


def _read(assembly: Assembly, operator: XirOperator) -> None:
    if operator.kind == "const":
        _read_constant(assembly, operator)
    elif operator.kind == "data":
        shape = operator.tensor.shape
        assembly.add_input(assembly.name_of(operator.name), shape, operator)
    elif operator.kind == "fix":
        read_fix(assembly, operator)
    elif operator.kind == "stack":
        _read_stack(assembly, operator)
    elif operator.kind in _READERS:
        _READERS[operator.kind](assembly, operator)
    else:
        raise UnsupportedError(
            f"{assembly.file}: operator '{operator.name}' is a {operator.kind}, which has no form "
            "in our graph", hint=_hint(operator.kind),
        )  # fmt: skip


def _read_macro(assembly: Assembly, end: XirOperator) -> None:
    macro = assembly.macros[end.name]
    if macro.first.kind == "avgpool2d":
        layers.average_pool(assembly, macro.first, end, macro.factor)
    else:
        pointwise.gate(assembly, macro.first, end, macro.factor, gated=macro.gated)


def _hint(kind: str) -> str:
    if kind.endswith("-fix") or kind in ("float2fix", "fix2float", "download", "upload"):
        return "this file is compiled; give the quantized one that the compiler read"
    return did_you_mean(kind, _READERS)


def _read_constant(assembly: Assembly, operator: XirOperator) -> None:
    content, shape = operator.value("data"), operator.tensor.shape
    kind = str(operator.value("data_type", "")).upper()
    if not isinstance(content, bytes) or kind != "FLOAT32":
        raise assembly.refused(operator, f"it holds {kind or 'nothing'}; expected FLOAT32 data")
    if 4 * math.prod(shape) != len(content):
        raise assembly.refused(operator, f"{len(content)} bytes are no float32 of shape {shape}")
    array = np.frombuffer(content, "<f4").reshape(shape)
    if not np.isfinite(array).all():
        raise assembly.refused(operator, "it holds numbers that are not finite")
    assembly.loose[operator.name] = array.astype(np.float32)


def _read_stack(assembly: Assembly, operator: XirOperator) -> None:
    parts = [name for names in operator.arguments.values() for name in names]
    shapes = {assembly.loose[name].shape for name in parts if name in assembly.loose}
    if len(shapes) != 1 or not all(name in assembly.loose for name in parts):
        raise assembly.refused(operator, "it joins tensors; only constants of a shape are read")
    assembly.loose[operator.name] = np.stack([assembly.loose[name] for name in parts])


def positions(formats: NetworkFormats) -> dict[str, int]:
    """Return the fix position of every tensor and parameter that has one."""
    found = {**formats.params, **formats.outputs}
    return {name: form.position for name, form in found.items() if isinstance(form, FixPosition)}
