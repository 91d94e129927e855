"""The quantizer: float graph, declared numerics and calibration data in, integer graph out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import Format, IntArray
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.legal import check_quantized
from nibblefit.ir.numerics import Numerics, Requantization
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.quantization.assign import Assignment, assign, calibrated_tensors
from nibblefit.quantization.calibrate import Batches, observe
from nibblefit.quantization.fold import fold
from nibblefit.quantization.histogram import Histogram
from nibblefit.quantization.lowering import LOWER, Lowering
from nibblefit.quantization.lowering.runtime import LOWER_RUNTIME, RuntimeLowering
from nibblefit.quantization.lowering.runtime.context import EXPONENTS
from nibblefit.quantization.settings import Settings, check_layers
from nibblefit.quantization.units import Unit, units


def quantize_network(graph: Graph, numerics: Numerics, batches: Batches, settings: Settings, *,
                     target: str = "", metadata: Mapping[str, Any] | None = None,
                     on_batch: Callable[[int], None] | None = None) -> QuantizedGraph:  # fmt: skip
    """Calibrate and quantize a float graph in one go.

    Args:
        graph: Any canonical graph; batch norm is folded here.
        numerics: The target's arithmetic.
        batches: Calibration inputs (count, channels, *spatial), read once.
        settings: Range method and per-layer widths.
        target: Written into the result.
        metadata: Written into the result.
        on_batch: Called with the number of samples of each calibration batch.
    """
    folded = fold(graph)
    check_layers(settings, folded)
    tensors = calibrated_tensors(folded, units(folded, numerics))
    histograms = observe(folded, batches, tensors, on_batch=on_batch)
    return quantize_graph(folded, numerics, histograms, settings, target=target,
                          metadata=metadata)  # fmt: skip


def quantize_graph(graph: Graph, numerics: Numerics, histograms: Mapping[str, Histogram],
                   settings: Settings, *, target: str = "",
                   metadata: Mapping[str, Any] | None = None,
                   stated: Mapping[str, Format] | None = None) -> QuantizedGraph:  # fmt: skip
    """Quantize a folded graph by rules and histograms alone.

    Args:
        graph: The folded graph.
        numerics: The target's arithmetic.
        histograms: Of every tensor of `calibrated_tensors` without a stated format.
        settings: Range method and per-layer widths.
        target: Written into the result.
        metadata: Written into the result.
        stated: Formats of calibrated tensors that the target has chosen itself.

    Raises:
        UnsupportedError: An operator, width or shift is beyond the target.
        GraphError: The result breaks a rule of `nibblefit.ir.legal`, such as a sum that the
            accumulator may not hold.
    """
    parts = units(graph, numerics)
    assignment = assign(graph, parts, numerics, histograms, settings, stated=stated or {})
    return lower(graph, parts, numerics, assignment, target=target, metadata=metadata)


def lower(graph: Graph, parts: tuple[Unit, ...], numerics: Numerics, assignment: Assignment, *,
          target: str = "",
          metadata: Mapping[str, Any] | None = None) -> QuantizedGraph:  # fmt: skip
    """Return the integer graph that formats and codes decide, checked for legality.

    Where shifts are chosen at run time, the assignment's activation formats say which range the
    calibration found; each is replaced by the nearest one that a shift can reach.
    """
    lowering, states, extra = _lowered(graph, parts, numerics, assignment)
    read = {name for node in lowering.nodes for name in node.inputs}
    made = {*graph.inputs, *(name for node in lowering.nodes for name in node.outputs)}
    facts = {"input_rounding": numerics.inputs.rounding.value, **extra, **(metadata or {})}
    result = QuantizedGraph(
        graph.name,
        target,
        graph.inputs,
        graph.outputs,
        tuple(lowering.nodes),
        frozen_mapping({n: t for n, t in lowering.tensors.items() if n in read or n in made}),
        frozen_mapping({n: c for n, c in lowering.constants.items() if n in read}),
        states=frozen_mapping(states),
        metadata=frozen_mapping(facts),
    )
    check_quantized(result)
    return result


_Lowered = tuple[Lowering, Mapping[str, IntArray], dict[str, Any]]


def _lowered(graph: Graph, parts: tuple[Unit, ...], numerics: Numerics,
             assignment: Assignment) -> _Lowered:  # fmt: skip
    """Return all nodes and tensors, states, and facts for readers of the graph."""
    if numerics.requant.kind is not Requantization.RUNTIME_SHIFT:
        lowering = Lowering(graph, numerics, assignment)
        for unit in parts:
            LOWER[unit.node.op](lowering, unit)
        return lowering, {}, {}
    own = replace(assignment, tensors=dict(assignment.tensors),
                  constants=dict(assignment.constants))  # fmt: skip
    runtime = RuntimeLowering(graph, numerics, own)
    for unit in parts:
        lower_unit = LOWER_RUNTIME.get(unit.node.op)
        if lower_unit is None:
            raise UnsupportedError(
                f"layer '{unit.node.name}' ({unit.node.op.value}) has no integer form with shifts "
                "chosen at run time",
                hint="use another operator",
            )
        lower_unit(runtime, unit)
    runtime.decode_outputs(parts)
    return runtime, runtime.states, {EXPONENTS: dict(runtime.exponents)}
