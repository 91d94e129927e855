"""What an integer graph forgets of functions that it computes by tables or by two factors.

A table of codes does not say of which function it is, two factors not which slope. The quantizer
notes both in the graph's metadata, so that the QDQ form can be written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nibblefit.ir.graph import Attributes, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode
from nibblefit.quantization.units import Unit

#: Functions of one value that are computed from a table.
TABLED = frozenset({Op.SIGMOID, Op.TANH, Op.HARD_SIGMOID, Op.HARD_SWISH})
#: Entry of the metadata: layer → operator and attributes.
FUNCTIONS = "functions"
_NOTED = TABLED | {Op.LEAKY_RELU}


@dataclass(frozen=True, slots=True)
class Function:
    """A function of one value.

    Attributes:
        op: SIGMOID, TANH, HARD_SIGMOID, HARD_SWISH or LEAKY_RELU.
        attributes: Those of the float operator.
    """

    op: Op
    attributes: Attributes


def functions_of(parts: Iterable[Unit]) -> Mapping[str, Any]:
    """Return the metadata of all functions, by layer."""
    return {
        unit.node.name: {"op": unit.node.op.value, **unit.node.attributes}
        for unit in parts
        if unit.node.op in _NOTED
    }


def function_of(graph: QuantizedGraph, node: QuantizedNode) -> Function | None:
    """Return the function that a node computes, None if it is not known."""
    found = graph.metadata.get(FUNCTIONS, {}).get(node.name)
    if found is None:
        return None
    attributes = {name: value for name, value in found.items() if name != "op"}
    return Function(Op(found["op"]), frozen_mapping(attributes))
