"""Fixed-point constants of the DPU: average pools, hard sigmoid, leaky ReLU.

The prepared graph keeps the exact operators (but for the slope, which is an attribute); simulation,
integer execution and the file writers apply these numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op

#: Slope of every leaky ReLU on the DPU. Source: pytorch_nndct 3.5, 26 · 2**-8.
LEAKY_SLOPE_NUMERATOR, LEAKY_SLOPE_SHIFT = 26, 8
LEAKY_SLOPE = LEAKY_SLOPE_NUMERATOR / 2**LEAKY_SLOPE_SHIFT

#: 1/6 in the hard sigmoid, relu6(x + 3) · 2731 · 2**-14. Source: pytorch_nndct 3.5.
HARD_SIGMOID_MULTIPLIER, HARD_SIGMOID_SHIFT = 2731, 14
HARD_SIGMOID_FACTOR = HARD_SIGMOID_MULTIPLIER / 2**HARD_SIGMOID_SHIFT
#: Format of the gate inside a hard swish: 8 bits, fix position 7.
HARD_SWISH_GATE_POSITION = 7

#: How far a written slope may be from 1/6: files state it in decimals.
_SIXTH, _CLOSE = 1 / 6, 1e-6

#: (multiplier, shift) by kernel. Source: pytorch_nndct 3.5, average pool of the DPU.
_FIXED: dict[tuple[int, int], tuple[int, int]] = {
    (3, 3): (7, 6),
    (5, 5): (10, 8),
    (6, 6): (7, 8),
    (3, 6): (14, 8),
    (6, 3): (14, 8),
    (7, 7): (21, 10),
    (14, 14): (21, 12),
}


def is_standard_gate(attributes: Mapping[str, Any]) -> bool:
    """Return whether a hard sigmoid is clip(x / 6 + 1/2, 0, 1), the only one the DPU has."""
    slope, offset = attributes.get("alpha", _SIXTH), attributes.get("beta", 0.5)
    return abs(float(slope) - _SIXTH) < _CLOSE and offset == 0.5


@dataclass(frozen=True, slots=True)
class Reciprocal:
    """``multiplier · 2**-shift``, the DPU's stand-in for 1 / count.

    Attributes:
        count: Values in a window.
        multiplier: Integer factor of the window's sum.
        shift: Right shift of the product.
    """

    count: int
    multiplier: int
    shift: int

    @property
    def value(self) -> float:
        """Factor on the sum of a window."""
        return float(self.multiplier / 2**self.shift)

    @property
    def correction(self) -> float:
        """Factor on the exact mean of a window: 1 where the count is a power of two."""
        return float(self.count * self.multiplier / 2**self.shift)


def reciprocal(count: int) -> Reciprocal:
    """Return the best multiplier and shift for 1 / count.

    Shifts 0 … ⌈log2(128 · count)⌉ − 1 are tried, each with the multiplier nearest to
    2**shift / count (ties to even); the smallest error wins, the first of equals.
    """
    best, least = Reciprocal(count, 0, 0), math.inf
    for shift in range(math.ceil(math.log2(128 * count))):
        multiplier = round(2**shift / count)
        error = abs(multiplier / 2**shift - 1 / count)
        if error < least:
            best, least = Reciprocal(count, multiplier, shift), error
    return best


def average_pool_reciprocal(kernel: Sequence[int]) -> Reciprocal:
    """Return multiplier and shift of an average pool: from the fixed table, else searched."""
    count = math.prod(kernel)
    found = _FIXED.get((kernel[0], kernel[1])) if len(kernel) == 2 else None
    return Reciprocal(count, *found) if found is not None else reciprocal(count)


def pool_reciprocal(graph: Graph, node: Node) -> Reciprocal:
    """Return the factor of an AVG_POOL or GLOBAL_AVG_POOL node of a graph."""
    if node.op is Op.GLOBAL_AVG_POOL:
        return average_pool_reciprocal(graph.shapes[node.inputs[0]][1:])
    return average_pool_reciprocal(tuple(node.attributes["kernel"]))
