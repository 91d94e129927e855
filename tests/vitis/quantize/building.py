"""Small float graphs with stated codes, lowered and run on all executions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from nibblefit.engine import Engine
from nibblefit.fixed.formats import IntArray
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.ir.reference import run
from nibblefit.ir.shapes import infer_shapes
from nibblefit.quantization.twin import Twin
from nibblefit_vitis.formats import FixPosition, NetworkFormats, TensorFormat
from nibblefit_vitis.quantize.integers import lower_network
from nibblefit_vitis.settings import NetworkSetting

DPU = NetworkSetting()
#: All 8-bit codes, as one image of one channel.
CODES = np.arange(-128, 128, dtype=np.int64).reshape(1, 1, 16, 16)


class Sketch:
    """A float graph that grows node by node; constants are given by their codes.

    Args:
        shapes: Shape of every input, without batch axis.
        positions: Fix position of every input.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], positions: Mapping[str, int]) -> None:
        self.inputs = tuple(shapes)
        self.shapes, self.nodes = dict(shapes), list[Node]()
        self.constants: dict[str, np.ndarray[Any, Any]] = {}
        self.params: dict[str, TensorFormat | None] = {}
        self.outputs: dict[str, TensorFormat | None] = {
            name: FixPosition(8, position) for name, position in positions.items()
        }
        self.own: dict[str, TensorFormat | None] = {}

    def constant(self, name: str, codes: Any, position: int, bits: int = 8) -> str:
        """Add a constant with a fix position."""
        values = np.asarray(codes, np.float64) * 2.0**-position
        values.flags.writeable = False
        self.constants[name] = values
        self.params[name] = FixPosition(bits, position)
        return name

    def real(self, name: str, values: Any, fmt: TensorFormat) -> str:
        """Add a constant with real values and any format."""
        self.constants[name] = np.asarray(values, np.float64)
        self.params[name] = fmt
        return name

    def add(self, name: str, op: Op, *inputs: str, position: int | None = None,
            fmt: TensorFormat | None = None, **attributes: Any) -> str:  # fmt: skip
        """Add a node; without position or format it is inside a group."""
        known = [tuple(self.constants[i].shape) if i in self.constants else self.shapes[i]
                 for i in inputs]  # fmt: skip
        (shape,) = infer_shapes(op, attributes, known)
        self.shapes[name] = shape
        self.nodes.append(Node(name, op, inputs, (name,), frozen_mapping(attributes)))
        if position is not None:
            self.outputs[name] = FixPosition(8, position)
        elif fmt is not None:
            self.outputs[name] = fmt
        return name

    def graph(self) -> Graph:
        """Return the float graph; its last node is the output."""
        return Graph("sketch", self.inputs, (self.nodes[-1].output,), tuple(self.nodes),
                     frozen_mapping(self.shapes), frozen_mapping(self.constants))  # fmt: skip

    def formats(self) -> NetworkFormats:
        """Return all formats."""
        return NetworkFormats(frozen_mapping(self.params), frozen_mapping(self.outputs),
                              frozen_mapping(self.own))  # fmt: skip

    def lowered(self, setting: NetworkSetting = DPU) -> QuantizedGraph:
        """Return the integers."""
        return lower_network(self.graph(), self.formats(), setting)


def executed(graph: QuantizedGraph, *codes: IntArray) -> IntArray:
    """Return the output codes, after checking that judge, engine and twin agree everywhere."""
    inputs = dict(zip(graph.inputs, codes, strict=True))
    judged = run(graph, inputs).tensors
    fast = Engine(graph).run(inputs, keep="all").tensors
    twin = Twin(graph).codes({name: torch.from_numpy(np.array(x)) for name, x in inputs.items()})
    for name, expected in judged.items():
        np.testing.assert_array_equal(fast[name], expected, err_msg=f"engine, {name}")
        np.testing.assert_array_equal(twin[name].numpy(), expected, err_msg=f"twin, {name}")
    return judged[graph.outputs[0]]


def half_up(value: Fraction) -> int:
    """Return ⌊x + ½⌋."""
    return math.floor(value + Fraction(1, 2))


def code(value: Fraction, lowest: int = -128, highest: int = 127) -> int:
    """Return a real number of output steps as a code: rounded half up, saturated."""
    return min(max(half_up(value), lowest), highest)


def codes(values: Sequence[Fraction], lowest: int = -128) -> list[int]:
    """Return numbers of output steps as codes."""
    return [code(value, lowest) for value in values]


def power(exponent: int) -> Fraction:
    """Return 2^exponent, exactly."""
    return Fraction(2) ** exponent
