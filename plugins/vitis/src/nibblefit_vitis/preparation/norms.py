"""Batch norms go into the convolutions before them; what is left is said."""

from __future__ import annotations

import numpy as np

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.nn.rewrite import fold_batch_norm, split_norms

#: The original folds into these alone. Source: pytorch_nndct 3.5.
_CONVOLUTIONS = frozenset({Op.CONV, Op.CONV_TRANSPOSE})


def fold_norms(graph: Graph, *, parity: bool) -> tuple[Graph, tuple[str, ...]]:
    """Return the graph with batch norms folded, and a note for each that becomes a layer.

    A batch norm behind a convolution, or behind a concatenation of convolutions, disappears.
    By default it also goes into a dense layer before it, which the original does not do; the
    original computes in single precision.
    """
    into = _CONVOLUTIONS if parity else WEIGHTED
    left = {node.name for node in graph.nodes if node.op is Op.SCALE_OFFSET}
    folded = fold_batch_norm(
        split_norms(graph, into=into), into=into, ahead=False,
        dtype=np.float32 if parity else np.float64,
    )  # fmt: skip
    notes = tuple(
        _note(graph, node) for node in folded.nodes
        if node.op is Op.SCALE_OFFSET and node.name not in left
    )  # fmt: skip
    return folded, notes


def _note(graph: Graph, norm: Node) -> str:
    producer = graph.producers().get(norm.inputs[0])
    if producer is None:
        reason = "no convolution comes before it"
    elif producer.op not in WEIGHTED:
        reason = f"'{producer.name}' ({producer.op.value}) comes before it, not a convolution"
    elif len(graph.consumers()[producer.output]) > 1 or producer.output in graph.outputs:
        reason = f"the output of '{producer.name}' is used elsewhere too"
    else:
        reason = f"'{producer.name}' ({producer.op.value}) cannot take it"
    return (
        f"batch norm '{norm.name}' is quantized as a scale and offset of its own, because {reason}"
    )
