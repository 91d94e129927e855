"""How many images go through the graph at once: as many as memory allows and caches like."""

from __future__ import annotations

import math

from nibblefit.engine.planning import Plan
from nibblefit.ir.quantized import QuantizedGraph

#: A layer's intermediate results need up to this many bytes per value beside its codes.
_WORKSPACE = 16
#: Working set of a chunk that still profits from the cache, in bytes.
_CACHE = 8 << 20
#: More images at once only leave the cache.
_MOST = 96


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
