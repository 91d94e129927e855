"""Formats of activations as TensorRT's calibrators choose them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nibblefit.fixed.formats import Format
from nibblefit.ir.graph import Graph
from nibblefit.ir.numerics import Numerics
from nibblefit.quantization.calibrate import Batches
from nibblefit.quantization.histogram import Histogram
from nibblefit.quantization.ranges import Method
from nibblefit.quantization.settings import Settings
from nibblefit.quantization.units import units
from nibblefit_tao.calibration.magnitudes import BINS, count_magnitudes, entropy_cut
from nibblefit_tao.numerics import LEVELS
from nibblefit_tao.qat.deployed import stated_formats


def calibrated_formats(graph: Graph, numerics: Numerics, histograms: Mapping[str, Histogram],
                       settings: Settings,
                       again: Callable[[], Batches]) -> dict[str, Format]:  # fmt: skip
    """Return the formats of tensors whose method is ``minmax`` or ``entropy``.

    Both have the scale ``range / 127``. Other methods are core's own.

    Args:
        graph: The folded graph.
        numerics: The arithmetic.
        histograms: Of one pass over the calibration data.
        settings: Says the method of every layer.
        again: Starts another pass over the same data, wanted for ``entropy`` only.
    """
    layers = {name: unit.layer for unit in units(graph, numerics) for name in unit.tensors}
    methods = {n: settings.of(layers.get(n, n)).choice.method for n in histograms}
    ours = (Method.MINMAX, Method.ENTROPY)
    ranges = {n: _largest(h) for n, h in histograms.items() if methods[n] in ours}
    by_entropy = {n: most for n, most in ranges.items() if methods[n] is Method.ENTROPY}
    if by_entropy:
        for name, counts in count_magnitudes(graph, again(), by_entropy).items():
            ranges[name] *= entropy_cut(counts) / BINS
    # A tensor that is always zero has no range; core gives it the scale 1.
    return stated_formats({n: most / LEVELS for n, most in ranges.items() if most > 0})


def _largest(histogram: Histogram) -> float:
    return max(abs(histogram.lo), abs(histogram.hi))
