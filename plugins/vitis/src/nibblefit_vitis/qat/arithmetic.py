"""Operators as the DPU computes them, differentiable; all others are those of the float network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isclose, prod

import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor

from nibblefit.ir.attributes import window_of
from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op
from nibblefit.nn.execute import EXECUTE
from nibblefit_vitis.preparation.constants import (
    HARD_SIGMOID_FACTOR,
    HARD_SWISH_GATE_POSITION,
    Reciprocal,
    pool_reciprocal,
)
from nibblefit_vitis.qat.rounding import Codes, round_to_codes
from nibblefit_vitis.settings import RoundMode

#: The gate inside a hard swish: 8 bits, half up. Source: pytorch_nndct 3.5.
_GATE = Codes(HARD_SWISH_GATE_POSITION, -128, 127, RoundMode.HALF_UP)


def execute(graph: Graph, node: Node, values: Sequence[Tensor], *,
            hardware: bool = True) -> Tensor | tuple[Tensor, ...]:  # fmt: skip
    """Return the outputs of a node before they are rounded.

    Args:
        graph: The graph of the node.
        node: Any node but batch norm and dropout.
        values: Its inputs.
        hardware: Use the DPU's constants.
    """
    formula = _DPU.get(node.op) if hardware else None
    if formula is None or (node.op is Op.HARD_SIGMOID and not _is_standard(node)):
        return EXECUTE[node.op](node.attributes, values)
    return formula(graph, node, values)


def _is_standard(node: Node) -> bool:
    """Return whether a hard sigmoid is clip(x / 6 + 1/2, 0, 1), the only one the DPU has."""
    slope = float(node.attributes.get("alpha", 1 / 6))
    return isclose(slope, 1 / 6, rel_tol=1e-6) and node.attributes.get("beta", 0.5) == 0.5


def _average(graph: Graph, node: Node, values: Sequence[Tensor]) -> Tensor:
    """Return window sums times the DPU's stand-in for 1 / count."""
    (x,) = values
    factor = pool_reciprocal(graph, node)
    window = window_of(node.attributes, tuple(node.attributes["kernel"]))
    begins, ends = window.begins(), window.ends()
    whole = not any((*begins, *ends)) or bool(node.attributes["count_include_pad"])
    plain = begins == ends and max(window.dilations) == 1 and not window.ceil_mode and whole
    if not plain or not all(p <= k // 2 for p, k in zip(begins, window.kernel)):
        mean = EXECUTE[Op.AVG_POOL](node.attributes, values)
        assert isinstance(mean, Tensor)
        return mean * factor.correction
    if window.axes == 3:
        sums: Tensor = F.avg_pool3d(x, window.kernel, window.strides, begins, divisor_override=1)
        return sums * factor.value
    kernel, strides, pads = window.kernel, window.strides, begins
    if window.axes == 1:
        x, kernel, strides, pads = x[..., None], (*kernel, 1), (*strides, 1), (*pads, 0)
    sums = F.avg_pool2d(x, kernel, strides, pads, divisor_override=1)
    return (sums[..., 0] if window.axes == 1 else sums) * factor.value


def _global_average(graph: Graph, node: Node, values: Sequence[Tensor]) -> Tensor:
    (x,) = values
    factor: Reciprocal = pool_reciprocal(graph, node)
    assert factor.count == prod(x.shape[2:])
    return x.sum(tuple(range(2, x.dim())), keepdim=True) * factor.value


def _hard_sigmoid(graph: Graph, node: Node, values: Sequence[Tensor]) -> Tensor:  # noqa: ARG001
    gate: Tensor = F.relu6(values[0] + 3.0) * HARD_SIGMOID_FACTOR
    return gate


def _hard_swish(graph: Graph, node: Node, values: Sequence[Tensor]) -> Tensor:
    return values[0] * round_to_codes(_hard_sigmoid(graph, node, values), _GATE)


_DPU: Mapping[Op, Callable[[Graph, Node, Sequence[Tensor]], Tensor]] = {
    Op.AVG_POOL: _average,
    Op.GLOBAL_AVG_POOL: _global_average,
    Op.HARD_SIGMOID: _hard_sigmoid,
    Op.HARD_SWISH: _hard_swish,
}
