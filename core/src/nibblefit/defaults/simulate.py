"""Core's simulation of a quantized graph: the training twin."""

from __future__ import annotations

from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.quantization.twin import Twin
from nibblefit.run import Run


def simulate(run: Run, model: Model, graph: QuantizedGraph) -> Twin:  # noqa: ARG001 - the hook's signature
    """Return the differentiable twin of the graph; see `nibblefit.quantization.twin`."""
    return Twin(graph)
