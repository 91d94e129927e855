"""Per-channel factor and offset: what a batch norm is once its statistics are frozen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nibblefit.fixed.formats import FloatArray
from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op


@dataclass(frozen=True, slots=True)
class Affine:
    """y = x · scale + offset per channel, arrays of shape (channels,)."""

    scale: FloatArray
    offset: FloatArray


def affine_of(graph: Graph, node: Node, dtype: npt.DTypeLike = np.float64) -> Affine | None:
    """Return what a BATCH_NORM or SCALE_OFFSET with constant parameters does; None for others.

    A batch norm computes (x − mean) / √(variance + epsilon) · gamma + beta; here in `dtype`.
    """
    if node.op not in {Op.BATCH_NORM, Op.SCALE_OFFSET}:
        return None
    if any(name not in graph.constants for name in node.inputs[1:]):
        return None
    values = [np.asarray(graph.constants[name], dtype) for name in node.inputs[1:]]
    if node.op is Op.SCALE_OFFSET:
        return Affine(*values)
    gamma, beta, mean, variance = values
    scale = gamma / np.sqrt(variance + float(node.attributes["epsilon"]))
    return Affine(scale, beta - mean * scale)


def scaled_outputs(node: Node, weights: FloatArray, scale: FloatArray) -> FloatArray:
    """Return weights whose output channels are multiplied by `scale`."""
    if node.op is not Op.CONV_TRANSPOSE:
        return weights * scale.reshape(-1, *(1,) * (weights.ndim - 1))
    # (in, out/groups, *k): group g of the inputs makes outputs g·out/groups and on.
    groups = int(node.attributes.get("groups", 1))
    grouped = weights.reshape(groups, -1, *weights.shape[1:])
    factor = scale.reshape(groups, 1, -1, *(1,) * (weights.ndim - 2))
    return (grouped * factor).reshape(weights.shape)


def per_input(node: Node, weights: FloatArray, values: FloatArray) -> FloatArray:
    """Return per-channel values of the input, shaped to multiply the weights they meet."""
    groups = int(node.attributes.get("groups", 1))
    by_output = np.repeat(values.reshape(groups, -1), weights.shape[0] // groups, axis=0)
    return by_output.reshape(*by_output.shape, *(1,) * (weights.ndim - 2))
