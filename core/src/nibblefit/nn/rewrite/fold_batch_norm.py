"""Batch norm disappears into the layer before or behind it.

Folding happens in float64 and is rounded once, to the type of the weights. A zero weight stays
zero, so pruning masks keep their meaning; a constant that only folded layers of one kind use keeps
its name, so masks and recipes still find it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt

from nibblefit.fixed.formats import FloatArray
from nibblefit.ir.graph import FloatConstant, Graph, Node, frozen_mapping
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.nn.names import FIXED
from nibblefit.nn.rewrite.affine import Affine, affine_of, per_input, scaled_outputs
from nibblefit.nn.rewrite.live import is_only_reader, live

_Fold = Callable[[Node, FloatArray, FloatArray, Affine], tuple[FloatArray, FloatArray]]


def fold_batch_norm(graph: Graph, *, into: Collection[Op] = WEIGHTED, ahead: bool = True,
                    dtype: npt.DTypeLike = np.float64) -> Graph:  # fmt: skip
    """Return the graph without BATCH_NORM.

    A batch norm (or SCALE_OFFSET) behind a convolution or linear layer that nobody else reads
    goes into it; one in front of an unpadded convolution or linear layer goes into that one; any
    other batch norm becomes a SCALE_OFFSET. A layer keeps its name; where the batch norm came
    after it, it takes that node's output tensor.

    Args:
        graph: Any float graph.
        into: Weighted operators that take a batch norm.
        ahead: Whether one in front of a layer goes into it as well.
        dtype: Of the arithmetic; float32 gives the bits of tools that fold in single precision.
    """
    directions = ((_pairs_behind, _behind), (_pairs_ahead, _ahead)) if ahead else (
        (_pairs_behind, _behind),)  # fmt: skip
    for find, fold in directions:
        # Batch norms in a row fold one after the other.
        while pairs := find(graph, into):
            graph = live(_fold_pairs(graph, pairs, fold, np.dtype(dtype)))
    return live(_remaining(graph))


@dataclass(frozen=True, slots=True)
class _Pair:
    """A layer, the per-channel node that goes into it, and the layer that takes their place."""

    layer: Node
    norm: Node
    merged: Node


def _is_foldable(graph: Graph, layer: Node, into: Collection[Op]) -> bool:
    constant = all(name in graph.constants for name in layer.inputs[1:])
    # Channels of a linear layer are its last axis, those of a batch norm axis 1.
    flat = layer.op is not Op.LINEAR or len(graph.shapes[layer.output]) == 1
    return layer.op in into and constant and flat


def _pairs_behind(graph: Graph, into: Collection[Op]) -> list[_Pair]:
    """Return layers with the batch norm that reads them."""
    producers, pairs = graph.producers(), []
    for norm in graph.nodes:
        layer = producers.get(norm.inputs[0]) if norm.inputs else None
        if layer is None or affine_of(graph, norm) is None:
            continue
        if not _is_foldable(graph, layer, into):
            continue
        if is_only_reader(graph, norm.inputs[0]):
            pairs.append(_Pair(layer, norm, replace(layer, outputs=norm.outputs)))
    return pairs


def _pairs_ahead(graph: Graph, into: Collection[Op]) -> list[_Pair]:
    """Return layers with the batch norm they read."""
    producers, pairs = graph.producers(), []
    for layer in graph.nodes:
        norm = producers.get(layer.inputs[0]) if layer.inputs else None
        if norm is None or affine_of(graph, norm) is None:
            continue
        if not _is_foldable(graph, layer, into):
            continue
        unpadded = layer.op is not Op.CONV_TRANSPOSE and not any(layer.attributes.get("pads", ()))
        if unpadded and is_only_reader(graph, norm.output):
            merged = replace(layer, inputs=(norm.inputs[0], *layer.inputs[1:]))
            pairs.append(_Pair(layer, norm, merged))
    return pairs


def _behind(
    node: Node, weights: FloatArray, bias: FloatArray, affine: Affine
) -> tuple[FloatArray, FloatArray]:
    return scaled_outputs(node, weights, affine.scale), bias * affine.scale + affine.offset


def _ahead(
    node: Node, weights: FloatArray, bias: FloatArray, affine: Affine
) -> tuple[FloatArray, FloatArray]:
    added = weights * per_input(node, weights, affine.offset)
    sums = added.reshape(len(weights), -1).sum(axis=1)
    return weights * per_input(node, weights, affine.scale), bias + sums


def _key(pair: _Pair) -> tuple[object, ...]:
    """Return what decides the folded constants: pairs with equal keys share them."""
    return (*pair.layer.inputs[1:], "|", *pair.norm.inputs[1:], pair.norm.attributes.get("epsilon"),
            pair.layer.attributes.get("groups"))  # fmt: skip


def _fold_pairs(graph: Graph, pairs: list[_Pair], fold: _Fold,
                dtype: np.dtype[np.generic]) -> Graph:  # fmt: skip
    constants: dict[str, FloatConstant] = dict(graph.constants)
    keepers = _sole_uses(graph, pairs)
    made: dict[tuple[object, ...], tuple[str, str]] = {}
    merged: dict[str, Node] = {}
    for pair in pairs:
        key = _key(pair)
        if key not in made:
            values = _folded(graph, pair, fold, dtype)
            made[key] = _names(pair, key in keepers, constants)
            constants.update(zip(made[key], values))
        merged[pair.layer.name] = replace(pair.merged, inputs=(pair.merged.inputs[0], *made[key]))
    gone = {pair.norm.name for pair in pairs}
    nodes = tuple(merged.get(n.name, n) for n in graph.nodes if n.name not in gone)
    return replace(graph, nodes=nodes, constants=frozen_mapping(constants))


def _sole_uses(graph: Graph, pairs: list[_Pair]) -> set[tuple[object, ...]]:
    """Return the keys whose weights and bias nobody else uses."""
    keys = {pair.layer.name: _key(pair) for pair in pairs}
    users: dict[str, set[object]] = defaultdict(set)
    for node in graph.nodes:
        for name in node.inputs:
            users[name].add(keys.get(node.name, node.name))
    return {
        _key(pair) for pair in pairs
        if all(len(users[name]) == 1 for name in pair.layer.inputs[1:])
    }  # fmt: skip


def _names(pair: _Pair, keeps: bool, constants: dict[str, FloatConstant]) -> tuple[str, str]:
    """Return the names of folded weight and bias."""
    layer = pair.layer
    if keeps:
        weight = layer.inputs[1]
        bias = layer.inputs[2] if len(layer.inputs) > 2 else _free(f"{layer.name}.bias", constants)
        # A frozen weight may stay frozen; a bias made from trained statistics is trained.
        return weight, bias
    return _free(f"{layer.name}.weight", constants), _free(f"{layer.name}.bias", constants)


def _free(wanted: str, constants: dict[str, FloatConstant]) -> str:
    name, use = wanted, 1
    while name in constants or name + FIXED in constants:
        use += 1
        name = f"{wanted}@{use}"
    return name


def _folded(graph: Graph, pair: _Pair, fold: _Fold,
            dtype: np.dtype[np.generic]) -> tuple[FloatConstant, FloatConstant]:  # fmt: skip
    layer, affine = pair.layer, affine_of(graph, pair.norm, dtype)
    assert affine is not None
    stored = graph.constants[layer.inputs[1]]
    weights = cast("FloatArray", np.asarray(stored, dtype))
    channels = _output_channels(layer, weights)
    bias = cast("FloatArray", np.zeros(channels, dtype))
    if len(layer.inputs) > 2:
        bias = cast("FloatArray", np.asarray(graph.constants[layer.inputs[2]], dtype))
    new_weights, new_bias = fold(layer, weights, bias, affine)
    return _rounded(new_weights, stored.dtype), _rounded(new_bias, stored.dtype)


def _output_channels(layer: Node, weights: FloatArray) -> int:
    if layer.op is Op.CONV_TRANSPOSE:
        return int(weights.shape[1]) * int(layer.attributes.get("groups", 1))
    return int(weights.shape[0])


def _rounded(values: FloatArray, dtype: np.dtype[np.generic]) -> FloatConstant:
    array = cast("FloatConstant", np.ascontiguousarray(values.astype(dtype)))
    array.flags.writeable = False
    return array


def _remaining(graph: Graph) -> Graph:
    """Say every batch norm that is left as SCALE_OFFSET."""
    constants: dict[str, FloatConstant] = dict(graph.constants)
    nodes = []
    for node in graph.nodes:
        affine = affine_of(graph, node)
        if node.op is not Op.BATCH_NORM or affine is None:
            nodes.append(node)
            continue
        dtype = graph.constants[node.inputs[1]].dtype
        names = tuple(_free(f"{node.name}.{word}", constants) for word in ("scale", "offset"))
        for name, values in zip(names, (affine.scale, affine.offset)):
            constants[name] = _rounded(values, dtype)
        nodes.append(replace(node, op=Op.SCALE_OFFSET, inputs=(node.inputs[0], *names),
                             attributes=frozen_mapping()))  # fmt: skip
    return replace(graph, nodes=tuple(nodes), constants=frozen_mapping(constants))
