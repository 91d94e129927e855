"""The quantize stage: calibrate, choose widths and codes, correct biases."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.defaults.quantize import calibration_batches, calibration_count
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.quantization.assign import Assignment, calibrated_tensors
from nibblefit.quantization.build import lower
from nibblefit.quantization.calibrate import observe
from nibblefit.quantization.fold import fold
from nibblefit.quantization.units import Unit, units
from nibblefit.run import Run
from nibblefit_tidl.current.asymmetric import assign_asymmetric
from nibblefit_tidl.current.automatic import choose_precision
from nibblefit_tidl.current.bias_calibration import calibrate_biases
from nibblefit_tidl.current.modes import BIAS_CALIBRATION, Mode, mode_of
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.current.precision import Precision, mixed, refuse_beyond, uniform
from nibblefit_tidl.current.qat.ranges import ranges_of
from nibblefit_tidl.current.ranges import Range, activation_ranges
from nibblefit_tidl.current.settings import CodeSettings, settings_of
from nibblefit_tidl.current.symmetric import assign_symmetric
from nibblefit_tidl.devices import device_named
from nibblefit_tidl.front.pixels import pixel_ranges
from nibblefit_tidl.front.stage import on_pixels
from nibblefit_tidl.qdq.functions import FUNCTIONS, functions_of

TARGET_NAME = "tidl"


@dataclass(frozen=True, slots=True)
class Quantized:
    """A quantized network with what was decided on the way.

    Attributes:
        graph: The integer graph.
        ranges: Range of every calibrated tensor.
        precision: Widths.
        notes: What costs accuracy or was changed, one line each.
    """

    graph: QuantizedGraph
    ranges: Mapping[str, Range]
    precision: Precision
    notes: tuple[str, ...] = field(default=())


def quantize_model(run: Run, model: Model) -> QuantizedGraph:
    """Return the integer graph of a model; ranges that training used are kept."""
    options: TidlOptions = run.options
    mode = mode_of(device_named(run.part), options)
    run, model = on_pixels(run, model)
    given = {**ranges_of(model), **pixel_ranges(run.data, model.graph)}
    count = calibration_count(run)
    batches = calibration_batches(run, model, count)
    metadata = {"class_names": list(run.data.class_names), "part": run.part}
    with run.reporter.progress("calibrating", count) as bar:
        result = quantize_network(
            model.graph, mode, options, batches, given=given, metadata=metadata,
            on_batch=bar.advance, say=run.reporter.say,
        )  # fmt: skip
    for note in result.notes:
        run.reporter.warn(note)
    return result.graph


def quantize_network(
    graph: Graph, mode: Mode, options: TidlOptions, batches: Iterable[npt.NDArray[np.float32]], *,
    given: Mapping[str, Range] | None = None, metadata: Mapping[str, Any] | None = None,
    on_batch: Callable[[int], None] | None = None, say: Callable[[str], None] | None = None,
) -> Quantized:  # fmt: skip
    """Quantize a float graph.

    Args:
        graph: Any canonical graph; batch norm is folded here.
        mode: The quantization.
        options: Options of the target.
        batches: Calibration inputs.
        given: Ranges by tensor that replace measured ones (from quantized training).
        metadata: Written into the result.
        on_batch: Called with the number of samples of each calibration batch.
        say: Called with one line about long work.
    """
    folded, numerics = fold(graph), mode.numerics
    parts = units(folded, numerics)
    frames: list[npt.NDArray[np.float32]] = []
    watched = keeping_first(batches, options.calibration_frames, frames)
    histograms = observe(folded, watched, calibrated_tensors(folded, parts), on_batch=on_batch)
    ranges = activation_ranges(folded, parts, histograms, mode, options.activation_range_shrink)
    ranges.update({name: found for name, found in (given or {}).items() if name in ranges})
    precision = _precision(folded, parts, ranges, mode=mode, options=options, frames=frames)
    settings = settings_of(mode, options, precision)
    assignment, notes = assign(folded, parts, ranges, settings)
    facts = {**_facts(mode, precision, ranges, metadata), FUNCTIONS: functions_of(parts)}
    result = lower(folded, parts, numerics, assignment, target=TARGET_NAME, metadata=facts)
    if mode.has(BIAS_CALIBRATION) and options.calibration_iterations:
        if say is not None:
            say(f"bias calibration: {options.calibration_iterations} rounds on "
                f"{sum(map(len, frames))} frames")  # fmt: skip
        result = calibrate_biases(folded, parts, result, frames, options)
    return Quantized(result, frozen_mapping(ranges), precision, (*precision.notes, *notes))


def assign(graph: Graph, parts: tuple[Unit, ...], ranges: Mapping[str, Range],
           settings: CodeSettings) -> tuple[Assignment, list[str]]:  # fmt: skip
    """Return all formats and codes of a folded graph, and notes."""
    if settings.mode.symmetric:
        return assign_symmetric(graph, parts, ranges, settings)
    return assign_asymmetric(graph, parts, ranges, settings), []


def keeping_first(
    batches: Iterable[npt.NDArray[np.float32]], count: int, kept: list[npt.NDArray[np.float32]]
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield all batches, and put the first `count` frames into `kept`, batch by batch."""
    left = count
    for batch in batches:
        if left > 0:
            kept.append(batch[:left])
            left -= len(batch)
        yield batch


def _precision(folded: Graph, parts: tuple[Unit, ...], ranges: Mapping[str, Range], *, mode: Mode,
               options: TidlOptions,
               frames: list[npt.NDArray[np.float32]]) -> Precision:  # fmt: skip
    """Return the widths: one for all, those asked for by name, or chosen under a factor."""
    named = uniform(mode.bits)
    if mode.mixed:
        named = mixed(folded, parts, options.output_feature_16bit_names, options.params_16bit_names)
    refuse_beyond(parts, named, mode.device)
    if options.mixed_precision_factor is None:
        return named
    # Source: automatic mixed precision ranks on a quarter of the calibration frames.
    few = max(1, options.calibration_frames // 4)
    ranking: list[npt.NDArray[np.float32]] = []
    deque(keeping_first(frames, few, ranking), maxlen=0)

    def quantized(precision: Precision) -> QuantizedGraph:
        found, _ = assign(folded, parts, ranges, settings_of(mode, options, precision))
        return lower(folded, parts, mode.numerics, found, target=TARGET_NAME)

    return choose_precision(folded, parts, quantized, frames=ranking, options=options, start=named,
                            device=mode.device)  # fmt: skip


def _facts(mode: Mode, precision: Precision, ranges: Mapping[str, Range],
           metadata: Mapping[str, Any] | None) -> dict[str, Any]:  # fmt: skip
    return {
        "quantization_scale_type": mode.scale_type,
        "tensor_bits": mode.bits,
        "calibration_flags": mode.flags,
        "tensors_16bit": [name for name, bits in precision.tensors.items() if bits == 16],
        "weights_16bit": [name for name, bits in precision.weights.items() if bits == 16],
        "ranges": {name: list(found) for name, found in ranges.items()},
        **(metadata or {}),
    }
