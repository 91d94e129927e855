"""Batch norm folded into the layer before it, at full scale.

With s = 1 / sqrt(variance + epsilon): w' = w · γ · s and b' = (b − mean) · γ · s + β, computed in
float64 and rounded to float32 once. The vendor's older training divided the result by four (c = ¼)
because it had no activation thresholds; its newer training does not (c = 1), and neither do we:
a threshold is a power of two as well, but it is measured per layer.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nibblefit.ir.graph import FloatConstant, Graph, frozen_mapping
from nibblefit.ir.ops import WEIGHTED
from nibblefit.models import Mask, Model
from nibblefit.quantization.fold import fold


def fold_model(model: Model) -> Model:
    """Return the model without batch norm and dropout; masks follow their weights."""
    graph = fold(model.graph)
    graph = graph.with_constants({name: _single(v) for name, v in graph.constants.items()})
    return replace(model, graph=graph, masks=frozen_mapping(_moved_masks(model, graph)))


def _single(values: FloatConstant) -> FloatConstant:
    array = np.ascontiguousarray(values, dtype=np.float32)
    array.flags.writeable = False
    return array


def _moved_masks(model: Model, folded: Graph) -> dict[str, Mask]:
    before = {node.name: node for node in model.graph.nodes if node.op in WEIGHTED}
    masks = {name: mask for name, mask in model.masks.items() if name in folded.constants}
    for node in folded.nodes:
        old = before.get(node.name)
        if node.op in WEIGHTED and old is not None and old.inputs[1] in model.masks:
            masks[node.inputs[1]] = model.masks[old.inputs[1]]
    return masks
