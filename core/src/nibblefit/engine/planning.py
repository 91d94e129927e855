"""Planning: a graph becomes a flat list of operations on numbered tensors, each proven exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nibblefit.engine.kernels.registry import BUILDERS, left_to_judge
from nibblefit.engine.ranges import Range, UnprovableError, storage_type
from nibblefit.engine.task import Kernel, Overwriting, Task, checked, operand_of
from nibblefit.errors import GraphError, MismatchError
from nibblefit.fixed.formats import IntArray
from nibblefit.ir import reference
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode

States = dict[str, IntArray]
#: From the node's variable inputs and the states to its outputs, in storage types.
Execute = Callable[[Sequence[Tensor], States], Sequence[Tensor]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One compiled node: reads and writes tensors by name.

    Attributes:
        inputs: Variable inputs only, in order.
        kernel, reason, bound: For `Engine.explain`; bound is None where the judge executes.
        is_float: Depends on torch's settings of floating-point arithmetic.
        is_finished: The kernel computed the codes itself, so they lie in memory of their own.
        overwriting: A form that destroys one input, for what `Plan.disposable` holds.
    """

    node: QuantizedNode
    inputs: tuple[str, ...]
    execute: Execute
    kernel: str
    reason: str
    bound: int | None
    is_float: bool = False
    is_finished: bool = False
    overwriting: Overwriting | None = None

    def executed(self, disposable: Set[str]) -> Execute:
        """Return how to execute the node where some tensors may be overwritten."""
        faster = self.overwriting
        if faster is None or self.inputs[faster.position] not in disposable:
            return self.execute
        return lambda tensors, _: faster.call(*tensors)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything decided about a graph before the first image.

    Attributes:
        operations: In order.
        types: Storage type of every tensor.
        releases: Per operation, the tensors nobody reads after it.
        disposable: Tensors with memory of their own and one reader, which may overwrite them.
    """

    operations: tuple[Operation, ...]
    types: dict[str, torch.dtype]
    releases: tuple[tuple[str, ...], ...]
    disposable: frozenset[str]


def plan(graph: QuantizedGraph, device: torch.device) -> Plan:
    """Return the plan of a graph: one pass over its nodes, ranges leading the way."""
    values: dict[str, Range] = {}
    types: dict[str, torch.dtype] = {}
    for name in graph.inputs:
        values[name] = _format_range(graph, name)
        types[name] = storage_type(values[name])
    operations = []
    for node in graph.nodes:
        operation, results = _operation(graph, node, values, types, device)
        for name, result in zip(node.outputs, results, strict=True):
            values[name], types[name] = result, storage_type(result)
        operations.append(operation)
    return Plan(tuple(operations), types, _releases(operations), _disposable(operations))


def _format_range(graph: QuantizedGraph, name: str) -> Range:
    number = graph.tensors[name].format
    return Range(number.lo, number.hi)


def _operation(
    graph: QuantizedGraph, node: QuantizedNode, values: dict[str, Range],
    types: dict[str, torch.dtype], device: torch.device,
) -> tuple[Operation, list[Range]]:  # fmt: skip
    variables = tuple(name for name in node.inputs if name not in graph.constants)
    try:
        operands = tuple(operand_of(graph, node, i, values, types) for i in range(len(node.inputs)))
        task = Task(graph, node, operands, device)
        kernel = BUILDERS.get(node.op, left_to_judge)(task)
        execute, result = _finished(task, kernel)
    except UnprovableError as why:
        formats = [_format_range(graph, name) for name in node.outputs]
        execute = _Judged(graph, node, variables, tuple(storage_type(f) for f in formats))
        return Operation(node, variables, execute, "judge (numpy int64)", str(why), None), formats
    return (
        Operation(
            node,
            variables,
            execute,
            kernel.name,
            kernel.reason,
            kernel.bound,
            kernel.is_float,
            kernel.is_finished,
            kernel.overwriting,
        ),
        [result] * len(node.outputs),
    )


def _finished(task: Task, kernel: Kernel) -> tuple[Execute, Range]:
    """Return kernel, accumulator, steps and checks as one function, and the range of its codes."""
    chain = task.finish(kernel.raw)
    formats = [_format_range(task.graph, name) for name in task.node.outputs]
    common = Range(max(f.lo for f in formats), min(f.hi for f in formats))
    place = f"node '{task.node.name}' ({task.op.value}): "
    limits = task.forbidden(kernel.raw)
    accumulate = checked(limits, place + "the accumulator") if limits else None
    stray = not chain.result.within(*common)
    if stray and len(set(formats)) > 1:
        raise UnprovableError("the outputs have different formats")
    if stray and kernel.is_finished:
        raise UnprovableError("codes may leave their format")
    result = chain.result
    if stray:
        result = Range(max(result.lo, common.lo), min(result.hi, common.hi))
        if result.lo > result.hi:
            raise UnprovableError("all codes leave their format")
    check = checked(common, place + "the output") if stray else None
    stored = storage_type(result)
    if kernel.is_finished:
        return (lambda tensors, _: kernel.call(*tensors)), result

    def one(raw: Tensor) -> Tensor:
        if accumulate is not None:
            accumulate(raw)
        codes = chain(raw, kernel.is_fresh)
        return codes if check is None else check(codes).to(stored)

    return (lambda tensors, _: [one(raw) for raw in kernel.call(*tensors)]), result


@dataclass(frozen=True, slots=True)
class _Judged:
    """One node executed by the judge's formula on int64 arrays."""

    graph: QuantizedGraph
    node: QuantizedNode
    variables: tuple[str, ...]
    types: tuple[torch.dtype, ...]

    def __call__(self, tensors: Sequence[Tensor], states: States) -> list[Tensor]:
        arrays = {
            name: tensor.cpu().numpy().astype(np.int64)
            for name, tensor in zip(self.variables, tensors, strict=True)
        }
        place = f"node '{self.node.name}' ({self.node.op.value}): "
        try:
            results = reference.run_node(self.graph, self.node, arrays, states)
        except (OverflowError, GraphError, ValueError, KeyError) as error:
            raise MismatchError(place + str(error)) from error
        found = []
        for name, result, dtype in zip(self.node.outputs, results, self.types, strict=True):
            number = self.graph.tensors[name].format
            if not number.holds(result):
                raise MismatchError(f"{place}the output leaves its format {number.name}")
            codes = torch.from_numpy(np.ascontiguousarray(result)).to(dtype)
            found.append(codes.to(tensors[0].device) if tensors else codes)
        return found


def _releases(operations: Sequence[Operation]) -> tuple[tuple[str, ...], ...]:
    last: dict[str, int] = {}
    for index, operation in enumerate(operations):
        for name in (*operation.inputs, *operation.node.outputs):
            last[name] = index
    found: list[list[str]] = [[] for _ in operations]
    for name, index in last.items():
        found[index].append(name)
    return tuple(tuple(names) for names in found)


def _disposable(operations: Sequence[Operation]) -> frozenset[str]:
    # A second reader could have made a view of the tensor that lives on.
    readers = Counter(name for operation in operations for name in operation.inputs)
    finished = (o.node.outputs for o in operations if o.is_finished)
    return frozenset(name for names in finished for name in names if readers[name] == 1)
