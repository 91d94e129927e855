"""Compares two executions code by code and says what the difference looks like.

A good message saves a day: a rounding fault, a missing saturation, a shifted bias, swapped
channels and a wrong shift leave different marks, and each has a test here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from nibblefit.errors import MismatchError
from nibblefit.fixed.formats import Format, IntArray
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode


class Diagnosis(StrEnum):
    """The likely reason of a difference, by its mark."""

    SHAPE = "shape"  #: other shapes: layout or geometry
    MISSING = "missing"  #: the tensor is absent
    OVERFLOW = "overflow"  #: only codes at the ends of the range differ
    CHANNEL_ORDER = "channel order"  #: the same channels in another order
    OFFSET = "bias or zero point"  #: one constant difference per channel
    ROUNDING = "rounding"  #: codes differ by one, here and there
    SCALE = "scale"  #: everything is a power of two too large or too small
    OTHER = "unclear"


_ADVICE: Mapping[Diagnosis, str] = {
    Diagnosis.SHAPE: "compare kernel, stride, padding and layout of this layer",
    Diagnosis.MISSING: "let the execution return every tensor by name",
    Diagnosis.OVERFLOW: "compare saturation, wrap and clipping bounds of this layer",
    Diagnosis.CHANNEL_ORDER: "compare the order of output channels and of the weights",
    Diagnosis.OFFSET: "compare the bias, its shift and the zero points of this layer",
    Diagnosis.ROUNDING: "compare the rounding of this layer: ties, and one rounding or two",
    Diagnosis.SCALE: "compare the shift of this layer",
    Diagnosis.OTHER: "compare weights and geometry of this layer",
}


@dataclass(frozen=True, slots=True)
class TensorDifference:
    """How one tensor differs.

    Attributes:
        name: Tensor.
        node: Node that makes it, and its layer; empty for inputs.
        layer: Hardware layer of that node.
        count: Differing codes.
        size: All codes.
        largest: Largest absolute difference.
        index: First differing position, batch axis first; None if the shapes differ.
        expected: Code expected there.
        actual: Code found there.
        diagnosis: Likely reason.
        detail: Evidence for the diagnosis, in words.
    """

    name: str
    node: str
    layer: str
    count: int
    size: int
    largest: int
    index: tuple[int, ...] | None
    expected: int
    actual: int
    diagnosis: Diagnosis
    detail: str = ""

    def explain(self) -> str:
        """Return the difference in a few lines, with what to look at."""
        layer = f" of layer '{self.layer}'" if self.layer and self.layer != self.node else ""
        where = f"node '{self.node}'{layer}" if self.node else f"input '{self.name}'"
        lines = [f"{where}: tensor '{self.name}' differs"]
        if self.index is not None:
            share = 100 * self.count / self.size
            largest = f"largest difference {self.largest}"
            lines += [
                f"  {self.count} of {self.size} codes ({share:.3g} %), {largest}",
                f"  first at {self.index}: expected {self.expected}, found {self.actual}",
            ]
        lines.append(f"  looks like: {self.diagnosis.value}{self.detail and ' — ' + self.detail}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Result of a comparison.

    Attributes:
        equal: Every compared code is the same.
        counts: Differing codes of every compared tensor, in topological order.
        first: First differing tensor in topological order; later ones follow from it.
    """

    equal: bool
    counts: Mapping[str, int]
    first: TensorDifference | None = None

    def explain(self) -> str:
        """Return what differs first and how many tensors follow, as text."""
        if self.first is None:
            return f"all {len(self.counts)} tensors are equal, code by code"
        differing = sum(1 for count in self.counts.values() if count)
        tail = f"\n  {differing} of {len(self.counts)} tensors differ" if differing > 1 else ""
        return self.first.explain() + tail


def compare(
    expected: Mapping[str, IntArray],
    actual: Mapping[str, IntArray],
    graph: QuantizedGraph,
) -> Comparison:
    """Compare two executions on every tensor of the graph that `expected` holds.

    Args:
        expected: Tensors of the judge (or a vendor's vectors), by name, batch axis first.
        actual: Tensors to be checked; one that is missing counts as different.
        graph: Gives the order, the formats and the layers.
    """
    producers = graph.producers()
    order = [*graph.inputs, *(name for node in graph.nodes for name in node.outputs)]
    counts: dict[str, int] = {}
    first: TensorDifference | None = None
    for name in (name for name in order if name in expected):
        found = actual.get(name)
        counts[name] = _count(expected[name], found)
        if counts[name] and first is None:
            fmt = graph.tensors[name].format
            first = _difference(name, producers.get(name), expected[name], found, fmt)
    return Comparison(first is None, frozen_mapping(counts), first)


def require_equal(
    expected: Mapping[str, IntArray],
    actual: Mapping[str, IntArray],
    graph: QuantizedGraph,
) -> None:
    """Raise MismatchError with the first difference unless both executions are equal."""
    comparison = compare(expected, actual, graph)
    if comparison.first is not None:
        raise MismatchError(comparison.explain(), hint=advice(comparison.first.diagnosis))


def advice(diagnosis: Diagnosis) -> str:
    """Return what to look at where a difference has this reason."""
    return _ADVICE[diagnosis]


def _count(expected: IntArray, actual: IntArray | None) -> int:
    if actual is None or actual.shape != expected.shape:
        return max(int(expected.size), 1)
    return int(np.count_nonzero(expected != actual))


def _difference(
    name: str, node: QuantizedNode | None, expected: IntArray, actual: IntArray | None, fmt: Format
) -> TensorDifference:
    place = (name, node.name if node else "", node.layer if node else "")
    if actual is None:
        size = int(expected.size)
        return TensorDifference(*place, size, size, 0, None, 0, 0, Diagnosis.MISSING)
    if actual.shape != expected.shape:
        detail = f"expected {expected.shape}, found {actual.shape}"
        size = int(expected.size)
        return TensorDifference(*place, size, size, 0, None, 0, 0, Diagnosis.SHAPE, detail)
    # Python's integers cannot overflow where two int64 codes lie far apart.
    differs = expected != actual
    index = tuple(int(i) for i in np.argwhere(differs)[0])
    spread = np.abs(actual[differs].astype(object) - expected[differs].astype(object))
    diagnosis, detail = diagnose(expected, actual, fmt)
    return TensorDifference(
        *place, int(differs.sum()), int(expected.size), int(spread.max()), index,
        int(expected[index]), int(actual[index]), diagnosis, detail,
    )  # fmt: skip


def diagnose(expected: IntArray, actual: IntArray, fmt: Format) -> tuple[Diagnosis, str]:
    """Return the likely reason why two arrays of one shape differ, and the evidence."""
    for test in (_overflow, _channel_order, _offset, _rounding, _scale):
        found = test(expected, actual, fmt)
        if found is not None:
            return found
    return Diagnosis.OTHER, "no known mark"


Verdict = tuple[Diagnosis, str] | None


def _overflow(expected: IntArray, actual: IntArray, fmt: Format) -> Verdict:
    differs = expected != actual
    ends = np.isin(expected[differs], (fmt.lo, fmt.hi)) | (
        (actual[differs] < fmt.lo) | (actual[differs] > fmt.hi)
    )
    apart = np.abs(expected[differs].astype(np.float64) - actual[differs]) > 1
    if ends.all() and (apart.any() or differs.sum() > 1):
        return Diagnosis.OVERFLOW, f"only codes at the ends of {fmt.name} differ"
    return None


def _by_channel(values: IntArray) -> IntArray:
    """Return (channels, everything else); one channel where there is no channel axis."""
    if values.ndim < 2:
        return values.reshape(1, -1)
    return np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)


def _channel_order(expected: IntArray, actual: IntArray, fmt: Format) -> Verdict:  # noqa: ARG001
    if expected.ndim < 2 or expected.shape[1] < 2:
        return None
    wanted, found = _by_channel(expected), _by_channel(actual)
    rows: dict[bytes, list[int]] = {}
    for channel, row in enumerate(found):
        rows.setdefault(row.tobytes(), []).append(channel)
    places = [rows.get(row.tobytes(), []) for row in wanted]
    if not all(places) or len({row.tobytes() for row in wanted}) != len(rows):
        return None
    moved = [(c, p[0]) for c, p in enumerate(places) if c not in p]
    return Diagnosis.CHANNEL_ORDER, f"channel {moved[0][0]} is found as channel {moved[0][1]}"


def _offset(expected: IntArray, actual: IntArray, fmt: Format) -> Verdict:
    wanted, found = _by_channel(expected), _by_channel(actual)
    inside = (found > fmt.lo) & (found < fmt.hi) & (wanted > fmt.lo) & (wanted < fmt.hi)
    step = found - wanted
    constant = 0
    for channel in np.flatnonzero((step != 0).any(axis=1)):
        steps = np.unique(step[channel][inside[channel]])
        if len(steps) != 1 or inside[channel].sum() < 2:
            return None
        constant = int(steps[0])
    if constant == 0:
        return None
    return Diagnosis.OFFSET, f"a constant difference per channel, such as {constant}"


def _rounding(expected: IntArray, actual: IntArray, fmt: Format) -> Verdict:  # noqa: ARG001
    differs = expected != actual
    steps = actual[differs].astype(np.float64) - expected[differs]
    if np.abs(steps).max() > 1:
        return None
    directions = "up" if (steps > 0).all() else "down" if (steps < 0).all() else "both ways"
    return Diagnosis.ROUNDING, f"every difference is one step, {directions}"


def _scale(expected: IntArray, actual: IntArray, fmt: Format) -> Verdict:
    inside = (actual > fmt.lo) & (actual < fmt.hi) & (expected > fmt.lo) & (expected < fmt.hi)
    # Small codes carry too little to tell a factor from a rounding.
    telling = inside & (np.abs(expected) >= 2) & (np.abs(actual) >= 2)
    if telling.sum() < 2:
        return None
    wanted, found = expected[telling].astype(np.float64), actual[telling].astype(np.float64)
    power = round(float(np.median(np.log2(np.abs(found / wanted)))))
    if power == 0 or (np.abs(found - wanted * 2.0**power) > max(1.0, 2.0**power)).any():
        return None
    return Diagnosis.SCALE, f"found is about {2.0**power:g} times expected"
