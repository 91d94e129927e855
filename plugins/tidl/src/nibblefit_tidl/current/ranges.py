"""Which range of an activation is quantized, from what calibration saw of it.

Source: TIDL importer (2025): activation range methods and percentileActRangeShrink.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.quantization.histogram import Histogram
from nibblefit.quantization.units import Unit
from nibblefit_tidl.current.modes import ACTIVATION_RANGE, GIVEN_RANGES, Mode

#: Lowest and highest real value that must have codes.
Range = tuple[float, float]

#: Bins between the extremes from which outlying values are left out.
BINS = 1024
#: Factor on the ranges of global averages and fully connected layers.
WIDENING = 1.25
_WIDENED = frozenset({Op.GLOBAL_AVG_POOL, Op.LINEAR})


def activation_ranges(
    graph: Graph, parts: tuple[Unit, ...], histograms: Mapping[str, Histogram], mode: Mode,
    shrink: float = 0.01,
) -> dict[str, Range]:  # fmt: skip
    """Return the range of every calibrated tensor.

    Args:
        graph: The folded graph.
        parts: Its units.
        histograms: By tensor.
        mode: Its flags say whether outlying values are left out.
        shrink: Percent left out on each side.
    """
    makers = {name: unit for unit in parts for name in unit.tensors}
    found = {}
    for name, histogram in histograms.items():
        lo, hi = min(histogram.lo, 0.0), max(histogram.hi, 0.0)
        unit = makers.get(name)
        if name not in graph.inputs and mode.has(ACTIVATION_RANGE):
            lo, hi = shrunk(histogram, shrink)
        if unit is not None and unit.node.op in _WIDENED and not mode.has(GIVEN_RANGES):
            lo, hi = lo * WIDENING, hi * WIDENING
        found[name] = _within_bounds((lo, hi), unit)
    return found


def shrunk(histogram: Histogram, percent: float) -> Range:
    """Return the range that is left when `percent` of the values go on each side.

    Values are counted in `BINS` bins between the extremes; a bin that must stay stays whole. Zero
    is always inside.
    """
    if not histogram.lo < histogram.hi:
        return min(histogram.lo, 0.0), max(histogram.hi, 0.0)
    values, counts = histogram.occupied()
    edges = np.linspace(histogram.lo, histogram.hi, BINS + 1)
    bins, _ = np.histogram(values, bins=edges, weights=counts)
    below = np.cumsum(bins)
    spared = below[-1] * percent / 100.0
    first = int(np.searchsorted(below, spared, side="right"))
    last = int(np.searchsorted(below, below[-1] - spared, side="left"))
    return min(float(edges[first]), 0.0), max(float(edges[min(last, BINS - 1) + 1]), 0.0)


def _within_bounds(found: Range, unit: Unit | None) -> Range:
    """Return a range no wider than the rectifiers behind the layer let through."""
    lo, hi = found
    for node in unit.rectifiers if unit is not None else ():
        low = 0.0 if node.op is Op.RELU else node.attributes.get("lo")
        high = None if node.op is Op.RELU else node.attributes.get("hi")
        lo = lo if low is None else max(lo, float(low))
        # A clip fixes the range, whether or not calibration reached its bound.
        hi = hi if high is None else float(high)
    return min(lo, 0.0), max(hi, 0.0)
