"""TI's traces against our integers, tensor by tensor: where they first differ, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nibblefit.engine import Engine
from nibblefit.fixed.formats import FloatArray, Format, IntArray
from nibblefit.ir.compare import Diagnosis, TensorDifference, advice, compare
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit_tidl.triage.differences import decibels
from nibblefit_tidl.triage.layers import Layer
from nibblefit_tidl.triage.traces.partial import recomputed

#: Differences up to this many steps are what rounding explains.
ONE_STEP = 1
SIGN = "signed or unsigned"
SCALE = "scale"


@dataclass(frozen=True, slots=True)
class TraceError:
    """How a traced tensor differs from ours; in steps where nothing else is said.

    Attributes:
        layer: The layer.
        data_id: Number that TI's tools gave the buffer.
        count: Differing codes; 0 without fixed-point trace.
        size: Compared codes; 0 without fixed-point trace.
        largest: Largest difference.
        beyond: Codes that differ by more than one step.
        index: First differing position, frame first; None without any.
        expected, actual: Our code and the traced one there.
        own: Largest difference that is left when the layer computes from the traced inputs, which
            is what it does wrong itself; None where its inputs were not traced.
        cause: Likely reason, empty without a difference.
        advice: What to look at.
        float_decibels: Signal to noise of TI's floating-point trace against our float network;
            None without one.
        step_ratio: Step of TI's codes, fitted to its floating-point trace, over ours; None without.
    """

    layer: Layer
    data_id: int
    count: int = 0
    size: int = 0
    largest: int = 0
    beyond: int = 0
    index: tuple[int, ...] | None = None
    expected: int = 0
    actual: int = 0
    own: int | None = None
    cause: str = ""
    advice: str = ""
    float_decibels: float | None = None
    step_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """What our networks say on the traced input.

    Attributes:
        codes: Every tensor of the integer graph.
        real: Every tensor of the float network.
    """

    codes: Mapping[str, IntArray]
    real: Mapping[str, FloatArray]


def compare_codes(  # noqa: PLR0917 - both sides of a comparison
    layer: Layer, data_id: int, graph: QuantizedGraph, folded: Graph, expected: Expected,
    traced: Mapping[str, IntArray],
) -> TraceError:  # fmt: skip
    """Return how the traced codes of a layer differ from ours.

    Args:
        layer: The layer.
        data_id: TI's number of its buffer.
        graph: Our integer graph.
        folded: The float graph without batch norm.
        expected: Our tensors.
        traced: The traced codes of all tensors.
    """
    ours, theirs, fmt = expected.codes[layer.name], traced[layer.name], _format(graph, layer)
    own = _own(graph, traced, layer)
    found = compare({layer.name: ours}, {layer.name: theirs}, graph).first
    if found is None:
        return TraceError(layer, data_id, size=ours.size, own=own)
    beyond = int(np.count_nonzero(np.abs(ours - theirs) > ONE_STEP))
    cause, hint = _cause(ours, theirs, fmt, found)
    if beyond and own == 0:
        cause, hint = (
            f"earlier layers; itself right ({cause})",
            "look at the layer that differs first",
        )
    elif beyond and is_bare_convolution(folded, layer):
        cause += "; a convolution without rectifier that feeds a sum, whose output is signed"
    return TraceError(
        layer, data_id, found.count, found.size, found.largest, beyond, found.index,
        found.expected, found.actual, own, cause, hint,
    )  # fmt: skip


def is_bare_convolution(folded: Graph, layer: Layer) -> bool:
    """Return whether a layer is a convolution without rectifier that feeds an element-wise layer.

    Its output is signed, and the sum's operands have different signs: the place where users of TI's
    tools report mismatches. Source: TI e2e forum, threads on element-wise layers.
    """
    if len(layer.nodes) != 1 or layer.op != Op.CONV.value:
        return False
    readers = folded.consumers()[layer.name]
    return any(reader.op in (Op.ADD, Op.SUB, Op.MUL) for reader in readers)


def float_figures(
    wanted: FloatArray, theirs: FloatArray, codes: IntArray | None, fmt: Format
) -> tuple[float, float | None]:
    """Return the decibels of a floating-point trace, and the step of the codes over ours.

    Args:
        wanted: Our float tensor.
        theirs: TI's.
        codes: TI's codes of the same tensor; without them there is no step.
        fmt: Our format of it.
    """
    ratio = decibels(float((wanted**2).sum()), float(((wanted - theirs) ** 2).sum()))
    if codes is None:
        return ratio, None
    centred = (codes - fmt.zero_point[0]).astype(np.float64)
    # Saturated codes say nothing about the step.
    inside = (codes > fmt.lo) & (codes < fmt.hi)
    power = float((centred[inside] ** 2).sum())
    if power == 0.0:
        return ratio, None
    step = float((centred[inside] * theirs[inside]).sum()) / power
    return ratio, step / float(fmt.scale.values()[0])


def simulated(graph: QuantizedGraph, codes: Mapping[str, IntArray]) -> Mapping[str, IntArray]:
    """Return every tensor of the integer graph."""
    return Engine(graph).run(codes, keep="all").tensors


def _own(graph: QuantizedGraph, traced: Mapping[str, IntArray], layer: Layer) -> int | None:
    if layer.name in graph.inputs:
        return None
    found = recomputed(graph, traced, layer.name)
    if found is None:
        return None
    return int(np.abs(found - traced[layer.name]).max(initial=0))


def _format(graph: QuantizedGraph, layer: Layer) -> Format:
    return graph.tensors[layer.name].format


def _cause(ours: IntArray, theirs: IntArray, fmt: Format,
           found: TensorDifference) -> tuple[str, str]:  # fmt: skip
    """Return the likely reason and what to look at."""
    if found.largest > ONE_STEP and has_other_sign(ours, theirs, fmt):
        other = "unsigned" if fmt.signed else "signed"
        return (
            f"{SIGN}: read as {other}, the codes agree",
            f"the tools have {other} codes here: compare ranges, and whether a ReLU was merged",
        )
    detail = f": {found.detail}" if found.detail else ""
    return f"{found.diagnosis.value}{detail}", advice(Diagnosis(found.diagnosis))


def has_other_sign(ours: IntArray, theirs: IntArray, fmt: Format) -> bool:
    """Return whether traced bytes agree with ours when they are read with the other sign.

    The same range takes twice the step with a sign, so factors of one and two both count; what is
    negative is zero on the unsigned side.
    """
    codes = 1 << fmt.bits
    reread = np.where(theirs < 0, theirs + codes, theirs)
    signed, unsigned = ours, reread
    if not fmt.signed:
        reread = np.where(theirs >= codes // 2, theirs - codes, theirs)
        signed, unsigned = reread, ours
    if np.array_equal(reread, theirs):
        return False
    for factor in (1, 2):
        wanted = np.clip(signed * factor, 0, codes - 1)
        if np.abs(unsigned - wanted).max() <= factor:
            return True
    return False
