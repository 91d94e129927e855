"""How many images go through the graph at once, and on how many threads.

Nothing here can change a result, only how soon it comes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nibblefit.engine.planning import Operation, Plan
from nibblefit.ir.ops import WEIGHTED
from nibblefit.ir.quantized import QuantizedGraph

#: A layer's intermediate results need up to this many bytes per value beside its codes.
_WORKSPACE = 16
#: Working set of a chunk that still profits from the cache, in bytes.
_CACHE = 8 << 20
#: More images at once only leave the cache.
_MOST = 96
#: Multiplications that repay waking another thread, about 0.1 ms of one core.
_PART_WORK = 1 << 25
#: Multiplications per operation that repay several threads inside it.
_INSIDE_WORK = 1 << 24


@dataclass(frozen=True, slots=True)
class Division:
    """How a batch is computed.

    Attributes:
        size: Images per chunk.
        workers: Chunks side by side, each with one thread.
        inside: Threads within operations, where chunks come one after the other.
    """

    size: int
    workers: int
    inside: int


@dataclass(frozen=True, slots=True)
class Work:
    """Multiplications of one image: of the whole graph, and of a layer on average."""

    image: int
    layer: int

    @staticmethod
    def of(graph: QuantizedGraph, plan: Plan) -> Work:
        """Return an estimate; what is no layer counts one per value."""
        per_operation = [_multiplications(graph, operation) for operation in plan.operations]
        layers = [n for n, is_layer in per_operation if is_layer]
        total = sum(n for n, _ in per_operation)
        return Work(max(total, 1), sum(layers) // len(layers) if layers else 0)


def _multiplications(graph: QuantizedGraph, operation: Operation) -> tuple[int, bool]:
    node = operation.node
    values = max(math.prod(graph.tensors[name].shape) for name in node.outputs)
    if node.op not in WEIGHTED or node.inputs[1] not in graph.constants:
        return values, False
    return values * graph.constants[node.inputs[1]][0].size, True


def divide(count: int, chunk: int, threads: int, work: Work, *, in_order: bool) -> Division:
    """Return how to compute `count` images with at most `chunk` at once.

    Args:
        count: Images.
        chunk: Images that may go through at once.
        threads: Threads that may be used.
        work: Of one image.
        in_order: Each chunk needs the one before.
    """
    # Equal chunks for all threads; few images or a small graph do not repay a second one.
    workers = 1 if in_order else max(1, min(threads, count, count * work.image // _PART_WORK))
    chunks = -(-count // chunk)
    chunks = -(-chunks // workers) * workers
    size = -(-count // chunks) if chunks else 1
    is_heavy = work.layer * size >= _INSIDE_WORK
    return Division(size, workers, threads if is_heavy and workers == 1 else 1)


def chunk_size(graph: QuantizedGraph, plan: Plan, budget: int) -> int:
    """Return how many images go through at once: within the budget, near the cache's size."""
    largest = budget // max(bytes_per_image(graph, plan), 1)
    return max(1, min(largest, _MOST, _CACHE // max(bytes_per_image(graph, plan) // _WORKSPACE, 1)))


def bytes_per_image(graph: QuantizedGraph, plan: Plan) -> int:
    """Return the most bytes alive at once for one image, workspace of the current node included."""
    sizes = {n: math.prod(graph.tensors[n].shape) * t.itemsize for n, t in plan.types.items()}
    alive = sum(sizes[name] for name in graph.inputs)
    peak = alive
    for operation, released in zip(plan.operations, plan.releases, strict=True):
        outputs = operation.node.outputs
        alive += sum(sizes[name] for name in outputs)
        touched = (*outputs, *operation.inputs)
        work = max(math.prod(graph.tensors[name].shape) for name in touched) * _WORKSPACE
        peak = max(peak, alive + work)
        alive -= sum(sizes[name] for name in released)
    return peak
