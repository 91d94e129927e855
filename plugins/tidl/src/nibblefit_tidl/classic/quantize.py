"""The quantize stage: calibrate, choose codes, leave shifts to the frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.defaults.quantize import calibration_batches, calibration_count
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.numerics import Numerics
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.quantization.assign import AFFINE, Assignment, assign, calibrated_tensors
from nibblefit.quantization.build import lower
from nibblefit.quantization.calibrate import observe
from nibblefit.quantization.fold import fold
from nibblefit.quantization.histogram import Histogram
from nibblefit.quantization.settings import settings
from nibblefit.quantization.units import Unit, units
from nibblefit.run import Run
from nibblefit_tidl.classic.kernels import kernel_choices, kernel_warnings
from nibblefit_tidl.classic.numerics import numerics_of
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.classic.parameters import Parameters, quantize_parameters
from nibblefit_tidl.front.pixels import pixel_ranges
from nibblefit_tidl.front.stage import on_pixels

TARGET_NAME = "tidl-classic"


def quantize_model(run: Run, model: Model) -> QuantizedGraph:
    """Return the integer graph of a model."""
    options: ClassicOptions = run.options
    run, model = on_pixels(run, model)
    count = calibration_count(run)
    with run.reporter.progress("calibrating", count) as bar:
        graph, parameters = quantize_network(
            model.graph, options, calibration_batches(run, model, count),
            metadata={"class_names": list(run.data.class_names), "part": run.part},
            on_batch=bar.advance, given=pixel_ranges(run.data, model.graph),
        )  # fmt: skip
    for line in warnings(fold(model.graph), options, parameters):
        run.reporter.warn(line)
    return graph


def quantize_network(
    graph: Graph, options: ClassicOptions, batches: Iterable[npt.NDArray[np.float32]], *,
    metadata: Mapping[str, Any] | None = None,
    on_batch: Callable[[int], None] | None = None,
    given: Mapping[str, tuple[float, float]] | None = None,
) -> tuple[QuantizedGraph, dict[str, Parameters]]:  # fmt: skip
    """Return the integer graph of a float graph, and each layer's quantized parameters.

    Args:
        graph: Any canonical graph; batch norm is folded here.
        options: Options of the target.
        batches: Calibration inputs; they decide the scale a frame's scale is counted from, and
            the range that the first frame starts with.
        metadata: Written into the result.
        on_batch: Called with the number of samples of each batch.
        given: Ranges by tensor that are covered whatever calibration saw.
    """
    folded = fold(graph)
    tensors = calibrated_tensors(folded, units(folded, numerics_of(options)))
    histograms = observe(folded, batches, tensors, on_batch=on_batch)
    for name, (lo, hi) in (given or {}).items():
        histograms[name].extend_range(lo, hi)
    return quantize_folded(folded, options, histograms, metadata=metadata)


def quantize_folded(
    folded: Graph, options: ClassicOptions, histograms: Mapping[str, Histogram], *,
    metadata: Mapping[str, Any] | None = None,
) -> tuple[QuantizedGraph, dict[str, Parameters]]:  # fmt: skip
    """Return the integer graph that a folded graph and calibrated ranges decide.

    Args:
        folded: The graph.
        options: Options of the target.
        histograms: By tensor; only their extremes count.
        metadata: Written into the result.
    """
    numerics = numerics_of(options)
    parts = units(folded, numerics)
    assignment = assign(folded, parts, numerics, histograms, settings("minmax"))
    parameters = assign_parameters(folded, parts, numerics, options, assignment)
    facts = {
        "parameter_bits": options.parameter_bits,
        "weights_q": frozen_mapping({name: p.weights_q for name, p in parameters.items()}),
        "frames": options.frames,
        "ranges": frozen_mapping({name: (h.lo, h.hi) for name, h in histograms.items()}),
        **(metadata or {}),
    }
    quantized = lower(folded, parts, numerics, assignment, target=TARGET_NAME, metadata=facts)
    return quantized, parameters


def assign_parameters(
    graph: Graph, parts: Iterable[Unit], numerics: Numerics, options: ClassicOptions,
    assignment: Assignment,
) -> dict[str, Parameters]:  # fmt: skip
    """Replace the codes of all layers with weights by the importer's; returns them by layer."""
    found = {}
    for unit in parts:
        node = unit.node
        if node.op not in AFFINE:
            continue
        values = [np.asarray(graph.constants[name], np.float64) for name in node.inputs[1:]]
        quantized = quantize_parameters(
            values[0], values[1] if len(values) > 1 else None, numerics.weights.bits[0],
            options.round_add,
        )  # fmt: skip
        assignment.constants[node.name, 1] = quantized.weight_codes()
        if len(values) > 1:
            assignment.constants[node.name, 2] = quantized.bias_codes()
        found[node.name] = quantized
    return found


def warnings(graph: Graph, options: ClassicOptions,
             parameters: Mapping[str, Parameters]) -> list[str]:  # fmt: skip
    """Return what is legal and costs accuracy or speed, one line each.

    Args:
        graph: The folded graph.
        options: Options of the target.
        parameters: By layer.
    """
    found = [
        f"layer '{name}': its largest bias stretches the common range {p.bias_stretch:.1f}-fold, "
        f"so its weights use only part of their {p.bits} bits; more parameter_bits or smaller "
        "biases help"
        for name, p in parameters.items()
        if p.bias_stretch > 1.0
    ]
    return [*found, *kernel_warnings(kernel_choices(graph, options.kernel))]
