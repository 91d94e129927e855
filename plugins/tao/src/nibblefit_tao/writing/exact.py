"""What a layer computes in real numbers from given integers, and how far others may be off.

The slack bounds what float32 sums and rounded integer factors add up to; it decides which
differences between two correct executions are called ties.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nibblefit.fixed.formats import FloatArray, IntArray
from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.nn.execute import EXECUTE
from nibblefit.quantization.assign import AFFINE
from nibblefit.quantization.qdq.topology import float_graph
from nibblefit.quantization.units import Unit, units
from nibblefit_tao.numerics import numerics_of

#: Relative error of one float32 operation.
_ROUNDOFF = 2.0**-24
#: Sums of this target are aligned by factors of 20 bits and averages divided by as many: codes of
#: 8 bits are off by at most this share of the coarsest input step.
_ALIGNMENT = 2.0**-12
#: Softmax takes its exponentials from a table of 20 bits.
_EXPONENTIALS = 2.0**-12


@dataclass(frozen=True, slots=True)
class Exact:
    """Results of one tensor in steps of its format, before rounding.

    Attributes:
        steps: float64.
        slack: Bound on what a correct execution may be off, in the same steps.
    """

    steps: FloatArray
    slack: FloatArray


def exact_results(graph: QuantizedGraph, codes: Mapping[str, IntArray],
                  inputs: Mapping[str, npt.NDArray[np.float32]]) -> dict[str, Exact]:  # fmt: skip
    """Return what every layer computes from the given codes of its inputs.

    Args:
        graph: An integer graph with its topology.
        codes: Of all tensors that layers read.
        inputs: The real inputs behind the codes.
    """
    network = float_graph(graph)
    found = {}
    for name in graph.inputs:
        steps = inputs[name].astype(np.float64) / _step(graph, name)
        found[name] = Exact(steps, 4 * _ROUNDOFF * np.abs(steps))
    for unit in units(network, numerics_of()):
        found.update(_unit(graph, network, unit, codes))
    return found


def _unit(graph: QuantizedGraph, network: Graph, unit: Unit,
          codes: Mapping[str, IntArray]) -> dict[str, Exact]:  # fmt: skip
    values = [_operand(graph, network, name, codes) for name in unit.node.inputs]
    results = _executed(unit.node, values)
    slack = _slack(graph, unit.node, values, results)
    for node in unit.rectifiers:
        results = [_executed(node, [result])[0] for result in results]
    return {
        name: Exact(result.numpy() / _step(graph, name), slack.numpy() / _step(graph, name))
        for name, result in zip(unit.tensors, results, strict=True)
    }


def _operand(graph: QuantizedGraph, network: Graph, name: str,
             codes: Mapping[str, IntArray]) -> Tensor:  # fmt: skip
    if name in network.constants:
        return torch.from_numpy(np.array(network.constants[name], np.float64))
    return torch.from_numpy(codes[name] * _step(graph, name))


def _executed(node: Node, values: list[Tensor]) -> list[Tensor]:
    result = EXECUTE[node.op](node.attributes, values)
    return list(result) if isinstance(result, tuple) else [result]


def _slack(graph: QuantizedGraph, node: Node, values: list[Tensor],
           results: list[Tensor]) -> Tensor:  # fmt: skip
    """Return the bound in real numbers."""
    coarsest = max([_step(graph, name) for name in node.inputs if name in graph.tensors] or [1.0])
    if node.op in AFFINE or node.op is Op.MATMUL:
        magnitude = _executed(node, [value.abs() for value in values])[0]
        terms = values[1][0].numel() if node.op is not Op.MATMUL else values[1].shape[-2]
        return magnitude * (terms + 8) * _ROUNDOFF
    largest = torch.stack([value.abs().max() for value in [*values, *results]]).max()
    extra = _EXPONENTIALS if node.op is Op.SOFTMAX else _ALIGNMENT * coarsest
    return largest * 64 * _ROUNDOFF + extra * torch.ones((), dtype=torch.float64)


def _step(graph: QuantizedGraph, name: str) -> float:
    return float(graph.tensors[name].format.scale.values()[0])
