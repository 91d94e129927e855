"""Batch norm in the two generations of the vendor's training.

In generation 1 a batch norm behind a convolution counts a quarter, in float training as in the
folded weights, which leaves room within ±1. In generation 2 it counts whole.

Source: ai8x-training commit c3d4eb1, `ai8x.py` (`bn(x) / 4`), and pull request 331.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nibblefit.ir.graph import FloatConstant, Graph
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.models import Model
from nibblefit_maxim.folding import fold_model
from nibblefit_maxim.options import BATCH_NORM_FACTOR, Generation


def normed_layers(graph: Graph) -> dict[str, str]:
    """Return batch norm → convolution or linear layer it directly follows, by node name.

    Only those that nobody else reads the input of: the ones folding puts into the layer before.
    """
    producers, readers = graph.producers(), graph.consumers()
    found = {}
    for node in graph.nodes:
        if node.op is not Op.BATCH_NORM:
            continue
        before = producers.get(node.inputs[0])
        alone = len(readers.get(node.inputs[0], ())) == 1 and node.inputs[0] not in graph.outputs
        if before is not None and before.op in WEIGHTED and alone:
            found[node.name] = before.name
    return found


def fold_for(model: Model, generation: Generation) -> Model:
    """Return the model with its batch norms folded as its generation folds them."""
    folded = fold_model(model)
    factor = BATCH_NORM_FACTOR[generation]
    normed = set(normed_layers(model.graph).values())
    if factor == 1.0 or not normed:
        return folded
    names = {
        name
        for node in folded.graph.nodes
        if node.op in WEIGHTED and node.name in normed
        for name in node.inputs[1:]
    }
    constants: dict[str, FloatConstant] = dict(folded.graph.constants)
    for name in names:
        quarter = np.asarray(constants[name], np.float32) * np.float32(factor)
        quarter.flags.writeable = False
        constants[name] = quarter
    return replace(folded, graph=folded.graph.with_constants(constants))
