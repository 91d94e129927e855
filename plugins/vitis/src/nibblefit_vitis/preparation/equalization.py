"""Cross-layer equalization: channels of neighbouring convolutions get weights of similar size.

Scaling output channel c of a layer by 1 / s_c and input channel c of the next by s_c changes
nothing of what the two compute, as long as everything between them is positively homogeneous;
s_c = √(range of the first / range of the second) makes both ranges equal. Source of every number
here: pytorch_nndct 3.5.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt

from nibblefit.ir.graph import FloatConstant, Graph, Node
from nibblefit.ir.ops import Op
from nibblefit_vitis.preparation.chains import Pair

Array = npt.NDArray[np.float32]

#: Channels whose two ranges sum to less than this are left alone.
_LEAST_RANGE = np.float32(0.5)
#: Smallest weight and divisor in the comparison of biases with weights.
_TINY = np.float32(1e-7)


def equalize(graph: Graph, found: tuple[Pair, ...]) -> Graph:
    """Return the graph with the weights and biases of all pairs equalized, one after the other.

    Args:
        graph: Every weighted layer has constants of its own.
        found: Pairs without clips between them.
    """
    constants: dict[str, FloatConstant] = dict(graph.constants)
    for pair in found:
        _equalize_pair(constants, pair)
    return graph.with_constants(constants)


def _equalize_pair(constants: dict[str, FloatConstant], pair: Pair) -> None:
    first, second = pair.first, pair.second
    weights, after = constants[first.inputs[1]], constants[second.inputs[1]]
    bias = constants[first.inputs[2]] if len(first.inputs) > 2 else None
    scale = channel_scales(
        output_rows(first, weights).astype(np.float32),
        None if bias is None else bias.astype(np.float32),
        input_rows(second, after).astype(np.float32),
    )
    constants[first.inputs[1]] = _frozen(weights / _by_output(first, weights, scale))
    if bias is not None:
        constants[first.inputs[2]] = _frozen(bias / scale)
    constants[second.inputs[1]] = _frozen(after * _by_input(second, after, scale))


def channel_scales(before: Array, bias: Array | None, after: Array) -> Array:
    """Return s_c of every channel between two layers.

    Args:
        before: Weights of the first layer, (channels, rest).
        bias: Its bias, counted with less weight than the weights (see `bias_share`).
        after: Weights of the second layer by input channel, (channels, rest).
    """
    rows = np.abs(before)
    if bias is not None:
        share = np.abs(bias) / np.float32(bias_share(before, bias))
        rows = np.concatenate([rows, share[:, None]], axis=1)
    range_before, range_after = rows.max(axis=1), np.abs(after).max(axis=1)
    product = np.sqrt(range_before * range_after)
    scale: Array = np.ones_like(product)
    np.divide(range_before, product, out=scale, where=product > 0)
    scale[range_before + range_after < _LEAST_RANGE] = 1.0
    return scale


def bias_share(weights: Array, bias: Array) -> int:
    """Return the number by which biases are divided before they count as weights.

    The larger biases are against weights, the less they may decide the scale.
    """
    magnitudes, offsets = np.abs(weights), np.abs(bias)
    ratio = _bias_to_weight(magnitudes, offsets)
    median, mean = float(np.median(ratio)), float(ratio.mean())
    largest = float(magnitudes.max(initial=0.0))
    if offsets.max() < 10 and offsets.max() < 20 * largest:
        return 5 if median > 100 or mean > 1000 else 2
    if median > 30 or mean > 500:
        return 20
    return 10 if median > 15 or mean > 100 else 5


def _bias_to_weight(magnitudes: Array, offsets: Array) -> Array:
    """Return |bias| / |weight| for every weight, zeros standing in as their channel's smallest."""
    nonzero = np.where(magnitudes > 0, magnitudes, np.inf).min(axis=1)
    dead = ~np.isfinite(nonzero)
    smallest = np.where(dead, _TINY, nonzero)
    filled = np.where(magnitudes > 0, magnitudes, smallest[:, None])
    kept = np.where(dead, np.float32(0), offsets)
    return cast("Array", kept[:, None] / np.maximum(filled, _TINY))


def output_rows(node: Node, weights: FloatConstant) -> FloatConstant:
    """Return weights as (output channels, everything else)."""
    if node.op is not Op.CONV_TRANSPOSE:
        return weights.reshape(len(weights), -1)
    groups = _groups(node)
    # (in, out/groups, *k) with the inputs of a group in a row.
    grouped = weights.reshape(groups, -1, weights.shape[1], *weights.shape[2:])
    rows = np.moveaxis(grouped, 2, 1).reshape(groups * weights.shape[1], -1)
    return cast("FloatConstant", rows)


def input_rows(node: Node, weights: FloatConstant) -> FloatConstant:
    """Return weights as (input channels, everything else)."""
    if node.op is Op.CONV_TRANSPOSE:
        return weights.reshape(len(weights), -1)
    groups = _groups(node)
    grouped = weights.reshape(groups, -1, *weights.shape[1:])
    rows = np.moveaxis(grouped, 2, 1).reshape(groups * weights.shape[1], -1)
    return cast("FloatConstant", rows)


def _by_output(node: Node, weights: FloatConstant, scale: Array) -> Array:
    """Return one scale per output channel, shaped to meet the weights."""
    if node.op is Op.CONV_TRANSPOSE:
        return _along_second_axis(node, weights, scale)
    return scale.reshape(-1, *(1,) * (weights.ndim - 1))


def _by_input(node: Node, weights: FloatConstant, scale: Array) -> Array:
    """Return one scale per input channel, shaped to meet the weights."""
    if node.op is Op.CONV_TRANSPOSE:
        return scale.reshape(-1, *(1,) * (weights.ndim - 1))
    return _along_second_axis(node, weights, scale)


def _along_second_axis(node: Node, weights: FloatConstant, scale: Array) -> Array:
    """Return (rows, channels of a group, 1 …): each group of rows meets channels of its own."""
    by_group = scale.reshape(_groups(node), -1)
    by_row = by_group.repeat(len(weights) // len(by_group), axis=0)
    return by_row.reshape(*by_row.shape, *(1,) * (weights.ndim - 2))


def _groups(node: Node) -> int:
    return int(node.attributes.get("groups", 1))


def _frozen(values: FloatConstant) -> FloatConstant:
    array = cast("FloatConstant", np.ascontiguousarray(values))
    array.flags.writeable = False
    return array
