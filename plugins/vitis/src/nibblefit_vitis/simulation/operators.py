"""Operators as the DPU computes them, differentiable; all others are those of the float network.

Sums of windows are multiplied by the DPU's constants, which is exact in float64: a mean times a
correction is not, and would land beside the ties that integers meet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor

from nibblefit.ir.attributes import window_of
from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op
from nibblefit.nn.execute import outputs_of
from nibblefit_vitis.preparation.constants import (
    HARD_SIGMOID_FACTOR,
    HARD_SWISH_GATE_POSITION,
    is_standard_gate,
    pool_reciprocal,
)
from nibblefit_vitis.settings import RoundMode
from nibblefit_vitis.simulation.quantizer import Quantizer

#: The gate inside a hard swish: 8 bits, half up. Source: pytorch_nndct 3.5.
_GATE = Quantizer((2.0**HARD_SWISH_GATE_POSITION,), (0,), -128, 127, RoundMode.HALF_UP)


def _rounded(gate: Tensor) -> Tensor:
    return _GATE.real(gate, in_place=True)


def run_on_device(
    graph: Graph, node: Node, inputs: Sequence[Tensor], *,
    round_gate: Callable[[Tensor], Tensor] = _rounded,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Return the outputs of a node as the DPU computes it, before the final rounding.

    Args:
        graph: The graph of the node.
        node: Any node.
        inputs: What it reads.
        round_gate: Another rounding of the same gate, such as one with a gradient.
    """
    if node.op is Op.HARD_SWISH:
        return (inputs[0] * round_gate(_gate(inputs[0])),)
    if node.op is Op.HARD_SIGMOID and is_standard_gate(node.attributes):
        return (_gate(inputs[0]),)
    average = _AVERAGES.get(node.op)
    return outputs_of(node, inputs) if average is None else (average(graph, node, inputs[0]),)


def _gate(x: Tensor) -> Tensor:
    gate: Tensor = F.relu6(x + 3.0) * HARD_SIGMOID_FACTOR
    return gate


def _average(graph: Graph, node: Node, x: Tensor) -> Tensor:
    factor = pool_reciprocal(graph, node)
    window = window_of(node.attributes, tuple(node.attributes["kernel"]))
    begins, ends = window.begins(), window.ends()
    whole = not any((*begins, *ends)) or bool(node.attributes["count_include_pad"])
    plain = begins == ends and max(window.dilations) == 1 and not window.ceil_mode and whole
    if not plain or not all(p <= k // 2 for p, k in zip(begins, window.kernel)):
        (mean,) = outputs_of(node, (x,))  # of windows that differ in size
        return mean * factor.correction
    if window.axes == 3:
        sums: Tensor = F.avg_pool3d(x, window.kernel, window.strides, begins, divisor_override=1)
        return sums * factor.value
    kernel, strides, pads = window.kernel, window.strides, begins
    if window.axes == 1:
        x, kernel, strides, pads = x[..., None], (*kernel, 1), (*strides, 1), (*pads, 0)
    sums = F.avg_pool2d(x, kernel, strides, pads, divisor_override=1)
    return (sums[..., 0] if window.axes == 1 else sums) * factor.value


def _global_average(graph: Graph, node: Node, x: Tensor) -> Tensor:
    factor = pool_reciprocal(graph, node)
    assert factor.count == prod(x.shape[2:])
    return x.sum(tuple(range(2, x.dim())), keepdim=True) * factor.value


_AVERAGES: Mapping[Op, Callable[[Graph, Node, Tensor], Tensor]] = {
    Op.AVG_POOL: _average,
    Op.GLOBAL_AVG_POOL: _global_average,
}
