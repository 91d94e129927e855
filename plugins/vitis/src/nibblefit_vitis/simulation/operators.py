"""Operators of the float graph, with the constants that the DPU computes some of them with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op
from nibblefit.nn.execute import EXECUTE, IN_TRAINING
from nibblefit_vitis.preparation.constants import (
    HARD_SIGMOID_FACTOR,
    HARD_SWISH_GATE_POSITION,
    pool_reciprocal,
)
from nibblefit_vitis.settings import RoundMode
from nibblefit_vitis.simulation.quantizer import Quantizer

_AVERAGES = frozenset({Op.AVG_POOL, Op.GLOBAL_AVG_POOL})
_GATE = Quantizer((2.0**HARD_SWISH_GATE_POSITION,), (0,), -128, 127, RoundMode.HALF_UP)


def run_operator(node: Node, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the outputs of a node of the float graph."""
    if node.op in IN_TRAINING:
        return (IN_TRAINING[node.op](node.attributes, inputs, False),)
    found = EXECUTE[node.op](node.attributes, inputs)
    return found if isinstance(found, tuple) else (found,)


def run_on_device(graph: Graph, node: Node, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the outputs of a node as the DPU computes it, before the final rounding."""
    if node.op in _AVERAGES:
        (mean,) = run_operator(node, inputs)
        return (mean.mul_(pool_reciprocal(graph, node).correction),)
    if node.op is Op.HARD_SWISH:
        return (inputs[0] * _GATE.real(_gate(inputs[0]), in_place=True),)
    if node.op is Op.HARD_SIGMOID and _is_standard(node.attributes):
        return (_gate(inputs[0]),)
    return run_operator(node, inputs)


def _gate(x: Tensor) -> Tensor:
    return F.relu6(x + 3.0).mul_(HARD_SIGMOID_FACTOR)


def _is_standard(attributes: Any) -> bool:
    """Return whether a hard sigmoid is clip(x / 6 + 1/2, 0, 1), the only one the DPU has."""
    slope = torch.tensor(attributes.get("alpha", 1 / 6), dtype=torch.float32)
    sixth = torch.tensor(1 / 6, dtype=torch.float32)
    return bool(slope == sixth) and attributes.get("beta", 0.5) == 0.5
