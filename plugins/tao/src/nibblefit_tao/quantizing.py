"""The quantize stage: ranges from real training samples, TensorRT's arithmetic."""

from __future__ import annotations

from dataclasses import replace

from nibblefit.defaults.quantize import quantize
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.quantization.fold import fold
from nibblefit.quantization.qdq.topology import KEY, topology_of
from nibblefit.run import Run
from nibblefit_tao.numerics import numerics_of
from nibblefit_tao.options import TaoOptions


def quantize_model(run: Run, model: Model) -> QuantizedGraph:
    """Return the integer graph, with the float operators it was made from in its metadata."""
    options: TaoOptions = run.options
    graph = quantize(run, model, numerics_of(per_channel=options.per_channel))
    facts = {**graph.metadata, KEY: topology_of(fold(model.graph))}
    return replace(graph, metadata=frozen_mapping(facts))
