"""Folded weights and biases inside the training graph: the bits that `preparation` makes later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op

#: Returns the parameter or buffer of a constant.
Lookup = Callable[[str], Tensor]
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Affine:
    """Weights (or a factor per channel) and bias of a layer with its batch norms inside."""

    weights: Tensor
    bias: Tensor | None


def folded(node: Node, norms: Sequence[Node], constant: Lookup, dtype: torch.dtype) -> Affine:
    """Return weights and bias of a layer with frozen batch norms folded into them.

    Args:
        node: The layer.
        norms: Batch norms behind it, in order.
        constant: Gives parameters by name.
        dtype: Of the arithmetic; each fold is rounded to float32 once, as the graph stores it.
    """
    weights = constant(node.inputs[1])
    bias = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    kept = weights.dtype
    for norm in norms:
        affine = norm_affine(norm, constant, dtype)
        scale, offset = affine.weights, affine.bias
        assert offset is not None
        before = torch.zeros_like(offset) if bias is None else bias.to(dtype)
        weights = (weights.to(dtype) * by_output(node, weights, scale)).float().to(kept)
        bias = (before * scale + offset).float().to(kept)
    return Affine(weights, bias)


def norm_affine(norm: Node, constant: Lookup, dtype: torch.dtype) -> Affine:
    """Return factor and offset per channel of a batch norm with its running statistics."""
    gamma, beta, mean, variance = (constant(name).to(dtype) for name in norm.inputs[1:])
    scale = gamma / torch.sqrt(variance + float(norm.attributes["epsilon"]))
    return Affine(scale, beta - mean * scale)


def norm_factor(node: Node, norms: Sequence[Node], constant: Lookup) -> Tensor:
    """Return the factor of all batch norms together, shaped to meet the weights; never zero."""
    weights = constant(node.inputs[1])
    scales = [norm_affine(norm, constant, weights.dtype).weights for norm in norms]
    factor = torch.stack(scales).prod(dim=0)
    factor = torch.where(factor.abs() < _TINY, torch.full_like(factor, _TINY), factor)
    return by_output(node, weights, factor)


def by_output(node: Node, weights: Tensor, values: Tensor) -> Tensor:
    """Return one value per output channel, shaped to meet the weights."""
    rest = (1,) * (weights.dim() - 2)
    if node.op is not Op.CONV_TRANSPOSE:
        return values.reshape(-1, 1, *rest)
    groups = int(node.attributes.get("groups", 1))
    by_row = values.reshape(groups, -1).repeat_interleave(len(weights) // groups, dim=0)
    return by_row.reshape(*by_row.shape, *rest)
