"""The training twin: a quantized graph as a differentiable torch module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nibblefit.fixed.apply import apply_steps as exact_steps
from nibblefit.fixed.formats import Accumulator, IntArray, Overflow
from nibblefit.fixed.intervals import bounds_after, hull
from nibblefit.fixed.operators.runtime_shift import RangeTracker, choose_shift
from nibblefit.fixed.steps import Clamp, Steps, Wrap
from nibblefit.ir.execute import parameters_of
from nibblefit.ir.intervals import node_bounds, tensor_bounds
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode
from nibblefit.quantization.twin.operators import FORMULAS
from nibblefit.quantization.twin.steps import apply_steps

#: Integers up to here are exact, whatever the order of their sum.
_FLOAT32_EXACT = 2**24
_FLOAT64_EXACT = 2**53


class Twin(nn.Module):
    """Simulates a quantized graph on integer-valued float tensors.

    Codes are exact: every operator runs in the cheapest dtype in which its proven range is exact
    (float32, float64, else int64), every step in int64. Gradients pass straight through roundings
    and end where a value is clamped, so the module can also be trained against.

    Args:
        graph: A legal quantized graph.
    """

    def __init__(self, graph: QuantizedGraph) -> None:
        super().__init__()
        self.graph = graph
        self._places: dict[str, str] = {}
        for place, (name, values) in enumerate(graph.constants.items()):
            self._places[name] = f"constant_{place}"
            tensor = torch.from_numpy(np.array(values, np.int64))
            self.register_buffer(self._places[name], tensor, persistent=False)
        self._dtypes = _node_dtypes(graph)
        wide = torch.int64 in self._dtypes.values()
        self._carrier = torch.int64 if wide else torch.float64

    def codes(self, inputs: Tensor | Mapping[str, Tensor],
              state: Mapping[str, IntArray] | None = None) -> dict[str, Tensor]:  # fmt: skip
        """Return the int64 codes of every tensor, inputs included.

        Args:
            inputs: Codes of the only input, or one tensor per input name; batch axis first.
            state: States to start from; the graph's own initial states where left out.
        """
        with torch.no_grad():
            tensors = self.execute(self._named(inputs), state)
        return {name: value.long() for name, value in tensors.items()}

    def forward(self, inputs: Tensor | Mapping[str, Tensor],
                state: Mapping[str, IntArray] | None = None) -> dict[str, Tensor]:  # fmt: skip
        """Return codes where the input is integer, else differentiable integer-valued tensors."""
        named = self._named(inputs)
        if all(not x.is_floating_point() for x in named.values()):
            return self.codes(named, state)
        return self.execute(named, state)

    def _named(self, inputs: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
        if isinstance(inputs, Tensor):
            return {self.graph.inputs[0]: inputs}
        return dict(inputs)

    def execute(self, inputs: Mapping[str, Tensor],
                state: Mapping[str, IntArray] | None = None) -> dict[str, Tensor]:  # fmt: skip
        """Return every tensor by name, float64 where gradients are wanted."""
        gradients = torch.is_grad_enabled() and any(x.requires_grad for x in inputs.values())
        carrier = torch.float64 if gradients else self._carrier
        tensors = {name: x.to(carrier) for name, x in inputs.items()}
        start = {**self.graph.states, **(state or {})}
        states = {name: np.array(value) for name, value in start.items()}
        batch = next(iter(tensors.values())).shape[0]
        for node in self.graph.nodes:
            results = self._run(node, tensors, states, carrier)
            for name, result in zip(node.outputs, results, strict=True):
                # A result made of constants only is the same in every image.
                tensors[name] = result if result.shape[0] == batch else result.expand(
                    batch, *result.shape[1:])  # fmt: skip
        return tensors

    def _run(self, node: QuantizedNode, tensors: Mapping[str, Tensor], states: dict[str, Any],
             carrier: torch.dtype) -> Sequence[Tensor]:  # fmt: skip
        operands = [
            self._operand(node, place, name, tensors, carrier)
            for place, name in enumerate(node.inputs)
        ]
        if node.op is Op.CHOOSE_SHIFT:
            return [_choose_shift(node, operands[0], states)]
        own = carrier
        if node.op in WEIGHTED and carrier is torch.float64:
            own = self._dtypes[node.name]
            if operands[0].is_cuda and own is torch.float32:
                own = torch.float64  # GPUs may compute float32 products in TF32
        raw = FORMULAS[node.op](node.attributes, [operand.to(own) for operand in operands])
        steps = (*_accumulate(node.accumulator), *node.steps)
        results = raw if isinstance(raw, tuple) else (raw,)
        return [apply_steps(result.to(carrier), steps) for result in results]

    def _operand(self, node: QuantizedNode, place: int, name: str,
                 tensors: Mapping[str, Tensor], carrier: torch.dtype) -> Tensor:  # fmt: skip
        steps = node.steps_of_input(place)
        if name in tensors:
            return apply_steps(tensors[name], steps)
        constant: Tensor = getattr(self, self._places[name])
        value = apply_steps(constant[None], steps).to(carrier)
        return value[0] if place in parameters_of(node.op) else value


def _node_dtypes(graph: QuantizedGraph) -> dict[str, torch.dtype]:
    """Return the cheapest dtype in which every intermediate value of a node is exact."""
    nodes, tensors = node_bounds(graph), tensor_bounds(graph)
    found = {}
    for node in graph.nodes:
        ends = [*nodes[node.name].accumulator, *nodes[node.name].output]
        ends += [end for name in (*node.inputs, *node.outputs) for end in tensors[name]]
        ends += [
            end
            for place, name in enumerate(node.inputs)
            for end in hull(bounds_after(*tensors[name], node.steps_of_input(place)))
        ]
        # Partial sums may exceed the sum itself: bound them by twice the magnitude.
        largest = 2 * max(abs(end) for end in ends)
        if node.op in WEIGHTED:
            largest = max(largest, _partial_sums(graph, node, tensors))
        exact32, exact64 = largest < _FLOAT32_EXACT, largest < _FLOAT64_EXACT
        found[node.name] = torch.float32 if exact32 else torch.float64 if exact64 else torch.int64
    return found


def _partial_sums(graph: QuantizedGraph, node: QuantizedNode,
                  tensors: Mapping[str, tuple[int, int]]) -> int:  # fmt: skip
    """Return a bound on every partial sum: Σ |w| · max |x| + |bias|, in any order."""
    weights = exact_steps(graph.constants[node.inputs[1]][None], node.steps_of_input(1))[0]
    x = max(abs(end) for end in hull(bounds_after(*tensors[node.inputs[0]],
                                                  node.steps_of_input(0))))  # fmt: skip
    axes = tuple(range(1, weights.ndim)) if node.op is not Op.CONV_TRANSPOSE else None
    total = int(np.abs(weights).sum(axis=axes).max(initial=0)) * x
    for place in range(2, len(node.inputs)):
        ends = hull(bounds_after(*tensors[node.inputs[place]], node.steps_of_input(place)))
        total += max(abs(end) for end in ends)
    return total


def _accumulate(accumulator: Accumulator | None) -> Steps:
    """Return the accumulator's action on the exact sum as steps; FORBID does nothing."""
    if accumulator is None or accumulator.bits == 64:
        return ()
    if accumulator.overflow is Overflow.WRAP:
        return (Wrap(accumulator.bits),)
    if accumulator.overflow is Overflow.SATURATE:
        most = (1 << (accumulator.bits - 1)) - 1
        return (Clamp(-most - 1, most),)
    return ()


def _choose_shift(node: QuantizedNode, x: Tensor, states: dict[str, Any]) -> Tensor:
    keys = ("bits", "signed", "history_first", "history", "first_frames", "margin")
    tracker = RangeTracker(**{k: node.attributes[k] for k in keys if k in node.attributes})
    name = node.attributes["state"]
    shifts, states[name] = choose_shift(x.detach().long().cpu().numpy(), tracker, states[name])
    return torch.from_numpy(shifts).to(x)
