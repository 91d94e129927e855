"""Walks a float graph and hands every tensor that is rounded to a rounding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op
from nibblefit.nn.execute import outputs_of
from nibblefit_vitis.grouping import Group, groups
from nibblefit_vitis.simulation.operators import run_on_device

#: Returns what takes the place of a tensor, given its name and its exact values, which it may
#: overwrite.
Rounding = Callable[[str, Tensor], Tensor]


class Watcher(Protocol):
    """Sees every operator run; may not change its tensors."""

    def __call__(self, node: Node, inputs: Sequence[Tensor], output: Tensor) -> None: ...


class Execution:
    """Executes a graph, every end of a group rounded by a function.

    Args:
        graph: A prepared float graph.
        hardware: Compute as the DPU does, with its constants.
    """

    def __init__(self, graph: Graph, *, hardware: bool) -> None:
        self.graph = graph
        self.groups: tuple[Group, ...] = groups(graph)
        self._hardware = hardware
        self._rounded = {group.end for group in self.groups if group.quantized}
        self._last_use = graph.last_uses()
        self._in_place = _in_place(graph)

    def run(
        self,
        inputs: Sequence[Tensor],
        constants: Mapping[str, Tensor],
        rounding: Rounding,
        *,
        keep_all: bool = False,
        watch: Watcher | None = None,
        read: Callable[[Node, Tensor], Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Return the outputs by name, or all tensors.

        Args:
            inputs: A batch of each graph input.
            constants: Values of all constants.
            rounding: Called for graph inputs and ends of quantized groups.
            keep_all: Return every tensor.
            watch: Called after every operator, with what it read and its (rounded) output.
            read: Called with the first input of every operator; returns what it reads instead.
        """
        tensors: dict[str, Tensor] = {}
        for name, x in zip(self.graph.inputs, inputs, strict=True):
            self._check(name, x)
            tensors[name] = rounding(name, x.clone())
        for position, node in enumerate(self.graph.nodes):
            operands = [constants[n] if n in constants else tensors[n] for n in node.inputs]
            if read is not None and operands:
                operands[0] = read(node, operands[0])
            results = self.results(node, operands, overwrite=not keep_all)
            for name, result in zip(node.outputs, results, strict=True):
                tensors[name] = rounding(name, result) if name in self._rounded else result
            if watch is not None:
                watch(node, operands, tensors[node.output])
            if not keep_all:
                for name in self._last_use[position]:
                    del tensors[name]
        return tensors if keep_all else {name: tensors[name] for name in self.graph.outputs}

    def results(
        self, node: Node, operands: Sequence[Tensor], *, overwrite: bool
    ) -> tuple[Tensor, ...]:
        """Return the exact outputs of a node; `overwrite` lets rectifiers reuse their input."""
        if overwrite and node.name in self._in_place:
            return (torch.relu_(operands[0]),)
        if self._hardware:
            found = run_on_device(self.graph, node, operands)
        else:
            found = outputs_of(node, operands)
        # An unbounded clip returns its input itself, which the rounding must not overwrite.
        return tuple(one.clone() if one is operands[0] else one for one in found)

    def _check(self, name: str, x: Tensor) -> None:
        expected = self.graph.shapes[name]
        if tuple(x.shape[1:]) != tuple(expected) or x.dim() != len(expected) + 1:
            raise InputError(
                f"the batch given for input '{name}' has shape {tuple(x.shape)}; expected "
                f"(batch, {', '.join(map(str, expected))})",
                hint="give samples in the shape the network was captured with",
            )


def _in_place(graph: Graph) -> set[str]:
    """Return rectifiers that may overwrite their input: a fresh sum that nobody else reads."""
    consumers, producers = graph.consumers(), graph.producers()
    fresh = {Op.CONV, Op.CONV_TRANSPOSE, Op.LINEAR, Op.ADD, Op.SUB, Op.MUL, Op.MATMUL}
    return {
        node.name for node in graph.nodes
        if node.op is Op.RELU and len(consumers[node.inputs[0]]) == 1
        and node.inputs[0] not in graph.outputs and node.inputs[0] in producers
        and producers[node.inputs[0]].op in fresh
    }  # fmt: skip


def channels_last(values: Tensor) -> Tensor:
    """Return images (and kernels) with channels last in memory, as convolutions like them."""
    return values.contiguous(memory_format=torch.channels_last) if values.dim() == 4 else values
