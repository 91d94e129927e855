"""From a float graph to the toy chip's integers, in numpy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nibblefit.data.source import DataSource, Split
from nibblefit.fixed.formats import Format, IntArray, Scale
from nibblefit.fixed.quantize import quantize
from nibblefit.fixed.steps import Clamp, Divide, ShiftLeft, ShiftRight, Step, Steps
from nibblefit.hooks import TargetInfo
from nibblefit.ir.float_reference import run_float
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.ops import MOVERS, Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode, QuantizedTensor


def finest_frac(values: np.ndarray[Any, Any], bits: int = 8) -> int:
    """Return the most fractional bits with which `values` fit a signed code of `bits` bits."""
    largest = float(np.max(np.abs(values), initial=0.0))
    return 15 if largest < 2.0**-9 else int(np.floor(np.log2((2 ** (bits - 1) - 1) / largest)))


@dataclass
class Builder:
    """Collects the integer graph while walking the float one."""

    graph: Graph
    info: TargetInfo
    ranges: dict[str, Any]
    fracs: dict[str, int] = field(default_factory=dict)
    nodes: list[QuantizedNode] = field(default_factory=list)
    tensors: dict[str, QuantizedTensor] = field(default_factory=dict)
    constants: dict[str, IntArray] = field(default_factory=dict)

    def tensor(self, name: str, frac: int) -> None:
        """Declare an int8 tensor."""
        fmt = Format(8, True, Scale.power_of_two(frac))
        self.fracs[name] = frac
        self.tensors[name] = QuantizedTensor(name, self.graph.shapes[name], fmt)

    def constant(self, name: str, bits: int, frac: int) -> int:
        """Quantize a constant and return its fractional bits."""
        values = np.asarray(self.graph.constants[name], np.float64)
        fmt = Format(bits, True, Scale.power_of_two(frac))
        raw = quantize(values, fmt, self.info.numerics.weights.rounding)
        raw.flags.writeable = False
        self.constants[name] = raw
        self.tensors[name] = QuantizedTensor(name, values.shape, fmt)
        return frac

    def requantize(self, node: Node, frac: int) -> tuple[int, Steps]:
        """Return the output's fractional bits and the steps from an accumulator with `frac`."""
        wanted = min(finest_frac(self.ranges[node.output]), frac)
        shift: tuple[Step, ...] = ()
        if frac > wanted:
            shift = (ShiftRight(frac - wanted, self.info.numerics.requant.rounding),)
        return wanted, (*shift, Clamp(-128, 127))

    def weighted(self, node: Node) -> None:
        """Add a convolution or a linear layer."""
        x, weights, *bias = node.inputs
        values = np.asarray(self.graph.constants[weights])
        frac = self.fracs[x] + self.constant(weights, 8, finest_frac(values))
        if bias:
            self.constant(bias[0], 32, frac)
        out, steps = self.requantize(node, frac)
        self.tensor(node.output, out)
        self.emit(node, steps=steps, accumulator=self.info.numerics.accumulator)

    def add(self, node: Node) -> None:
        """Add an element-wise sum: bring both inputs to the finer step, then requantize."""
        fine = max(self.fracs[i] for i in node.inputs)
        align = tuple(
            (ShiftLeft(fine - self.fracs[i]),) if self.fracs[i] < fine else () for i in node.inputs
        )
        out, steps = self.requantize(node, fine)
        self.tensor(node.output, out)
        self.emit(node, steps=steps, input_steps=align, accumulator=self.info.numerics.accumulator)

    def average(self, node: Node) -> None:
        """Add an average pool without padding: the sum, divided and rounded as declared."""
        self.tensor(node.output, self.fracs[node.inputs[0]])
        window = int(np.prod(node.attributes["kernel"]))
        self.emit(node, steps=(Divide(window, self.info.numerics.pooling), Clamp(-128, 127)))

    def emit(self, node: Node, **fields: Any) -> None:
        """Append the integer node of a float node."""
        self.nodes.append(
            QuantizedNode(
                node.name,
                node.op,
                node.inputs,
                node.outputs,
                node.attributes,
                layer=node.name,
                source=node.source,
                **fields,
            )
        )


def quantize_graph(
    graph: Graph, data: DataSource, samples: int, info: TargetInfo
) -> QuantizedGraph:
    """Return the integer graph; ranges come from the first `samples` training samples."""
    images, _ = data.batch(Split.TRAIN, 0, samples)
    (source,) = graph.inputs
    ranges = dict(run_float(graph, {source: images}))
    builder = Builder(graph, info, ranges)
    builder.tensor(source, finest_frac(images))
    for node in graph.nodes:
        if node.op in {Op.CONV, Op.LINEAR}:
            builder.weighted(node)
        elif node.op is Op.ADD:
            builder.add(node)
        elif node.op is Op.AVG_POOL:
            builder.average(node)
        elif node.op in MOVERS or node.op is Op.RELU:
            builder.tensor(node.output, builder.fracs[node.inputs[0]])
            builder.emit(node)
    return QuantizedGraph(
        graph.name,
        info.name,
        graph.inputs,
        graph.outputs,
        tuple(builder.nodes),
        frozen_mapping(builder.tensors),
        frozen_mapping(builder.constants),
    )
