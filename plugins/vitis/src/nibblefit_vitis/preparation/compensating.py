"""Rounding of a layer's weights together, so that their errors cancel in its output.

The error of an output is the sum of weight errors times inputs. With the second moments H of the
inputs, weights are rounded one after the other, and the error of each is taken up by those still to
come, in the proportion that leaves the expected squared error of the output least. Source: Frantar
et al., GPTQ (2023); the arithmetic is that of optimal brain surgery.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor

from nibblefit.ir.attributes import window_of
from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op
from nibblefit_vitis.simulation.operators import run_on_device

#: Share of the mean power that is added to every input's, so that H can be inverted.
_DAMPING = 0.01
#: Inputs per weight row above which the inverse costs more than it is worth.
_MOST_INPUTS = 4096


def can_compensate(graph: Graph, node: Node) -> bool:
    """Return whether weights can be rounded together: dense layers and plain 2-D convolutions."""
    weights = graph.constants.get(node.inputs[1])
    if weights is None or weights[0].size > _MOST_INPUTS:
        return False
    plain = node.op is Op.CONV and weights.ndim == 4 and node.attributes.get("groups", 1) == 1
    return plain or node.op is Op.LINEAR


def compensated(node: Node, weights: Tensor, x: Tensor, rounds: Callable[[Tensor], Tensor], *,
                centred: bool) -> Tensor:  # fmt: skip
    """Return weights of a format, rounded for the least squared error of the layer's output.

    Weights of zero stay zero: pruning may have made them.

    Args:
        node: A layer of which `can_compensate` is true.
        weights: Its float weights.
        x: What it reads, (samples, channels, *spatial).
        rounds: Rounds values to the format.
        centred: Leave the mean error out of account, because the bias will take it.
    """
    rows = weights.reshape(len(weights), -1).double()
    inputs = _inputs(node, weights, x).double()
    if centred:
        inputs = inputs - inputs.mean(dim=0)
    moments = inputs.T @ inputs / len(inputs)
    power = moments.diagonal().mean().clamp(min=torch.finfo(torch.float32).tiny)
    moments = moments + _DAMPING * power * torch.eye(len(moments), dtype=torch.float64)
    # Inputs of large power first: their errors find the most weights to take them up.
    order = torch.argsort(moments.diagonal(), descending=True, stable=True)
    found = _in_turn(rows[:, order], moments[order][:, order], rounds)
    result = torch.empty_like(rows)
    result[:, order] = found
    return result.reshape(weights.shape).to(weights.dtype)


def _in_turn(rows: Tensor, moments: Tensor, rounds: Callable[[Tensor], Tensor]) -> Tensor:
    """Round column by column; each error moves the columns behind it."""
    factor = torch.linalg.cholesky(torch.linalg.inv(moments), upper=True)
    left, found = rows.clone(), torch.empty_like(rows)
    for place in range(rows.shape[1]):
        alive = rows[:, place] != 0
        found[:, place] = torch.where(alive, rounds(left[:, place].clone()), 0.0)
        error = (left[:, place] - found[:, place]) / factor[place, place]
        left[:, place + 1 :] -= error[:, None] * factor[place, place + 1 :]
    return found


def _inputs(node: Node, weights: Tensor, x: Tensor) -> Tensor:
    """Return what one output is a product with, (outputs, inputs)."""
    if node.op is Op.LINEAR:
        return x.reshape(-1, x.shape[-1])
    window = window_of(node.attributes, tuple(weights.shape[2:]))
    (top, left), (bottom, right) = window.begins(), window.ends()
    patches = F.unfold(F.pad(x, (left, right, top, bottom)), window.kernel, window.dilations,
                       0, window.strides)  # fmt: skip
    return patches.transpose(1, 2).reshape(-1, patches.shape[1])


def mean_error(graph: Graph, node: Node, x: Tensor, error: Tensor) -> Tensor:
    """Return the mean of every output channel that an error of the weights leaves."""
    (off,) = run_on_device(graph, node, [x.mean(dim=0, keepdim=True), error.to(x.dtype)])
    channels = off.dim() - 1 if node.op is Op.LINEAR else 1
    return off.mean(dim=[axis for axis in range(off.dim()) if axis != channels])
