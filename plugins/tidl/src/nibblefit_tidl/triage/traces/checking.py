"""Compare a folder of traces with the integers of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from nibblefit.defaults.evaluation.inputs import input_codes
from nibblefit.errors import InputError
from nibblefit.fixed.formats import FloatArray, IntArray
from nibblefit.fixed.quantize import dequantize
from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.quantization.calibrate import run_batches
from nibblefit_tidl.triage.differences import Frames
from nibblefit_tidl.triage.layers import Layer
from nibblefit_tidl.triage.traces.collecting import Collection, Traced, collect, layer_info_in
from nibblefit_tidl.triage.traces.comparing import (
    Expected,
    TraceError,
    compare_codes,
    float_figures,
    simulated,
)
from nibblefit_tidl.triage.traces.reading import Layout, read_codes, read_floats


@dataclass(frozen=True, slots=True)
class TraceSource:
    """Where traces are, and what their names and the documents leave open.

    Attributes:
        folder: Folder with the trace files.
        layer_info: The layer-info file; None finds the one in `folder`.
        frames: The real inputs that the tools ran on; None takes the trace of the network's input.
        layout: Padding of the files.
        height_first: Names give height before width.
        subgraph: The subgraph to read.
    """

    folder: Path
    layer_info: Path | None = None
    frames: Frames | None = None
    layout: Layout = field(default_factory=Layout)
    height_first: bool = False
    subgraph: int | None = None


@dataclass(frozen=True, slots=True)
class TraceCheck:
    """Outcome of a comparison with traces.

    Attributes:
        errors: Every compared tensor, in our order of execution.
        problems: Traces that could not be compared, one line each.
    """

    errors: tuple[TraceError, ...]
    problems: tuple[str, ...]

    @property
    def first(self) -> TraceError | None:
        """First tensor in which any code differs."""
        return next((error for error in self.errors if error.count), None)

    @property
    def first_beyond(self) -> TraceError | None:
        """First tensor in which a code differs by more than one step."""
        return next((error for error in self.errors if error.beyond), None)

    @property
    def verdict(self) -> str:
        """The outcome in one sentence."""
        beyond = self.first_beyond
        if beyond is not None:
            return (
                f"traces leave ours at '{beyond.layer.name}' (data id {beyond.data_id}): "
                f"{beyond.beyond} of {beyond.size} codes by more than one step, at most "
                f"{beyond.largest}; looks like {beyond.cause}"
            )
        compared = sum(1 for error in self.errors if error.size)
        if not compared:
            return "only floating-point traces could be read; no code was compared"
        if self.first is not None:
            return (
                f"{compared} traced tensors agree within one step; '{self.first.layer.name}' "
                "differs first"
            )
        return f"{compared} traced tensors are equal, code by code"


def check_traces(
    source: TraceSource, graph: QuantizedGraph, folded: Graph, layers: tuple[Layer, ...]
) -> TraceCheck:
    """Return how a folder of traces differs from our integers on the same input.

    Args:
        source: The traces.
        graph: Our integer graph.
        folded: The float graph without batch norm.
        layers: Its merged layers.

    Raises:
        InputError: Nothing can be compared; the text says why, one line per file.
    """
    info = source.layer_info or layer_info_in(source.folder)
    known = [layer.name for layer in layers if layer.name in graph.tensors]
    collection = collect(
        source.folder, info, known, _merged(folded, layers),
        subgraph=source.subgraph, height_first=source.height_first,
    )  # fmt: skip
    problems = list(collection.problems)
    codes = _read_all(collection, source, graph, problems)
    floats = _read_floats(collection, source, graph, problems)
    expected = _expected(source, graph, folded, codes)
    frames = len(next(iter(expected.codes.values())))
    _drop_other_counts(codes, floats, frames, problems)
    errors = []
    for layer in layers:
        traced = collection.traced.get(layer.name)
        if traced is not None and (layer.name in codes or layer.name in floats):
            errors.append(_error(layer, traced, graph, folded, expected, codes, floats))
    if not errors:
        raise InputError(
            f"no trace in {source.folder} can be compared"
            + "".join(f"\n  {problem}" for problem in problems)
        )
    return TraceCheck(tuple(errors), tuple(problems))


def _error(  # noqa: PLR0917 - both sides of a comparison
    layer: Layer, traced: Traced, graph: QuantizedGraph, folded: Graph, expected: Expected,
    codes: Mapping[str, IntArray], floats: Mapping[str, FloatArray],
) -> TraceError:  # fmt: skip
    name, data_id = layer.name, traced.row.data_id
    found = TraceError(layer, data_id)
    if name in codes:
        found = compare_codes(layer, data_id, graph, folded, expected, codes)
    if name in floats and name in expected.real:
        ratio, step = float_figures(
            expected.real[name], floats[name], codes.get(name), graph.tensors[name].format
        )
        found = replace(found, float_decibels=ratio, step_ratio=step)
    return found


def _merged(folded: Graph, layers: tuple[Layer, ...]) -> dict[str, str]:
    """Map the tensors inside merged layers to the layer's output."""
    outputs = {node.name: node.outputs for node in folded.nodes}
    return {
        name: layer.name for layer in layers for node in layer.nodes[:-1] for name in outputs[node]
    }


def _read_all(collection: Collection, source: TraceSource, graph: QuantizedGraph,
              problems: list[str]) -> dict[str, IntArray]:  # fmt: skip
    found = {}
    for name, traced in collection.traced.items():
        if traced.fixed is not None:
            tensor = graph.tensors[name]
            try:
                found[name] = read_codes(traced.fixed, source.layout, tensor.format, tensor.shape)
            except InputError as error:
                problems.append(_line(error))
    return found


def _read_floats(collection: Collection, source: TraceSource, graph: QuantizedGraph,
                 problems: list[str]) -> dict[str, FloatArray]:  # fmt: skip
    found = {}
    for name, traced in collection.traced.items():
        if traced.floating is not None:
            try:
                found[name] = read_floats(traced.floating, source.layout, graph.tensors[name].shape)
            except InputError as error:
                problems.append(_line(error))
    return found


def _line(error: InputError) -> str:
    return f"{error.what} ({error.hint})" if error.hint else error.what


def _drop_other_counts(codes: dict[str, IntArray], floats: dict[str, FloatArray], frames: int,
                       problems: list[str]) -> None:  # fmt: skip
    for found in (codes, floats):
        for name in [name for name, values in found.items() if len(values) != frames]:
            problems.append(f"'{name}': {len(found[name])} frames traced, the input has {frames}")
            del found[name]


def _expected(source: TraceSource, graph: QuantizedGraph, folded: Graph,
              codes: Mapping[str, IntArray]) -> Expected:  # fmt: skip
    """Return our tensors on the tools' input: given real values, else the input's own trace."""
    name = graph.inputs[0]
    if source.frames is not None:
        given, real = input_codes(graph, _checked(source.frames, graph)), source.frames
    elif name in codes:
        given = {name: codes[name]}
        real = dequantize(codes[name], graph.tensors[name].format).astype(np.float32)
    else:
        raise InputError(
            f"there is no trace of the network's input '{name}' in {source.folder}",
            hint="give the input that the tools ran on: --input FILE.npy",
        )
    (values,) = run_batches(folded, [real])
    return Expected(
        simulated(graph, given), {key: value.double().numpy() for key, value in values.items()}
    )


def _checked(frames: Frames, graph: QuantizedGraph) -> Frames:
    shape = graph.tensors[graph.inputs[0]].shape
    if frames.shape[1:] != shape or frames.ndim != len(shape) + 1:
        raise InputError(
            f"the input has shape {frames.shape}; expected (frames, {', '.join(map(str, shape))})",
            hint="give what the network takes, frames first, channels before rows",
        )
    return frames
