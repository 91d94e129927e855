"""Order of operators: producers first, names unique, nothing missing."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from nibblefit.errors import InputError
from nibblefit_vitis.xir.graph import XirGraph, XirOperator


def in_order(graph: XirGraph, file: str) -> XirGraph:
    """Return the graph with producers before consumers; the file's order decides otherwise.

    Raises:
        InputError: A name is used twice, an operator reads one that does not exist, or itself.
    """
    places: dict[str, int] = {}
    for index, operator in enumerate(graph.operators):
        if operator.name in places:
            raise InputError(f"{file}: two operators are called '{operator.name}'",
                             hint="export the file again")  # fmt: skip
        places[operator.name] = index
    inputs = [_read_by(operator, places, file) for operator in graph.operators]
    if all(given < index for index, found in enumerate(inputs) for given in found):
        return graph
    order = _sorted(inputs)
    if len(order) < len(inputs):
        left = sorted(set(range(len(inputs))) - set(order))
        raise InputError(f"{file}: operator '{graph.operators[left[0]].name}' depends on itself",
                         hint="export the file again")  # fmt: skip
    return replace(graph, operators=tuple(graph.operators[index] for index in order))


def _read_by(operator: XirOperator, places: dict[str, int], file: str) -> set[int]:
    found = set()
    for operands in operator.arguments.values():
        for name in operands:
            if name not in places:
                raise InputError(f"{file}: operator '{operator.name}' reads '{name}', which is not "
                                 "in the file", hint="export the file again")  # fmt: skip
            found.add(places[name])
    return found


def _sorted(inputs: list[set[int]]) -> list[int]:
    """Return indices in topological order; those on a cycle are left out."""
    waiting = [len(found) for found in inputs]
    readers: list[list[int]] = [[] for _ in inputs]
    for index, found in enumerate(inputs):
        for given in sorted(found):
            readers[given].append(index)
    ready = deque(index for index, count in enumerate(waiting) if not count)
    order = []
    while ready:
        index = ready.popleft()
        order.append(index)
        for reader in readers[index]:
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    return order
