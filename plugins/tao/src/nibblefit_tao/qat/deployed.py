"""The network that a quantized training ends in: what the integers will compute, in real numbers.

Formats and codes come from the quantizer itself, so nothing is stated twice: batch norm is folded,
every constant is what its code means, and every tensor that gets codes is rounded to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from nibblefit.fixed.formats import Format, Scale
from nibblefit.fixed.quantize import dequantize
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.numerics import Numerics
from nibblefit.ir.ops import Op
from nibblefit.nn.execute import EXECUTE
from nibblefit.nn.network import Network
from nibblefit.quantization.assign import Assignment, assign
from nibblefit.quantization.qdq.topology import representable
from nibblefit.quantization.qdq.writing import quantized_tensors
from nibblefit.quantization.settings import settings
from nibblefit.quantization.twin.operators import FORMULAS
from nibblefit.quantization.units import units

#: Scales up to here are those of tensors without values.
_TINY = 2.0**-100
#: Fractional bits of interpolation weights, and what all axes share in 32-bit accumulators.
_WEIGHT_BITS, _ROOM = 11, 22


class Deployed(Network):
    """Executes a folded graph, rounded to formats.

    Args:
        graph: A folded graph whose constants are what their codes mean.
        formats: Of all tensors that are rounded.
        dtype: Of the arithmetic.
    """

    def __init__(self, graph: Graph, formats: Mapping[str, Format],
                 dtype: torch.dtype = torch.float32) -> None:  # fmt: skip
        super().__init__(graph, dtype)
        self.formats = formats

    def _run(self, inputs: Sequence[Tensor], *, keep_all: bool) -> dict[str, Tensor]:
        given = zip(self._graph.inputs, self._checked(inputs), strict=True)
        tensors = {name: self._rounded(name, x) for name, x in given}
        for position, node in enumerate(self._graph.nodes):
            values = [self.constant(n) if n in self._keys else tensors[n] for n in node.inputs]
            outputs = self._execute(node, values)
            for name, value in zip(node.outputs, outputs, strict=True):
                tensors[name] = self._rounded(name, value)
            if not keep_all:
                for name in self._last_use[position]:
                    del tensors[name]
        return tensors

    def _execute(self, node: Node, values: list[Tensor]) -> tuple[Tensor, ...]:
        if node.op is Op.RESIZE_BILINEAR:
            return (self._resized(node, values[0]),)
        result = EXECUTE[node.op](node.attributes, values)
        return result if isinstance(result, tuple) else (result,)

    def _resized(self, node: Node, value: Tensor) -> Tensor:
        """Return a bilinear resize by the integer weights that the quantizer gives it.

        Real weights such as 1/6 would decide ties, which are many, otherwise.
        """
        step = float(self.formats[node.output].scale.values()[0])
        axes = len(node.attributes["sizes"])
        bits = min(_WEIGHT_BITS, _ROOM // axes)
        attributes = {**node.attributes, "weight_bits": bits}
        codes = FORMULAS[node.op](attributes, [torch.round(value / step).double()])
        assert isinstance(codes, Tensor)
        return torch.round(codes * 2.0 ** (-bits * axes)).to(value.dtype) * step

    def _rounded(self, name: str, value: Tensor) -> Tensor:
        fmt = self.formats.get(name)
        if fmt is None:
            return value
        step = float(fmt.scale.values()[0])
        return torch.round(value / step).clamp(fmt.lo, fmt.hi) * step


def deployed(graph: Graph, scales: Mapping[str, float], numerics: Numerics,
             dtype: torch.dtype = torch.float32) -> Deployed:  # fmt: skip
    """Return the network of a float graph and the scales of its calibrated tensors."""
    network = representable(graph)
    parts = units(network, numerics)
    chosen = assign(network, parts, numerics, {}, settings(), stated=stated_formats(scales))
    rounded = quantized_tensors(network, numerics)
    formats = {name: chosen.tensors[name] for name in rounded}
    return Deployed(_with_meanings(network, chosen), formats, dtype)


def stated_formats(scales: Mapping[str, float]) -> dict[str, Format]:
    """Return the signed 8-bit formats of scales, each rounded to float32.

    What was always zero, or as good as zero, has the scale 1, as core gives it.
    """
    return {
        name: Format(8, True, Scale.real(float(np.float32(scale)) if scale > _TINY else 1.0))
        for name, scale in scales.items()
    }


def _with_meanings(graph: Graph, chosen: Assignment) -> Graph:
    """Return the graph with a constant of its own for each use, what its code means."""
    nodes, constants = [], {}
    for node in graph.nodes:
        inputs = list(node.inputs)
        for place, name in enumerate(node.inputs):
            codes = chosen.constants.get((node.name, place))
            if codes is None:
                continue
            inputs[place] = f"{node.name}:{place}"
            real = dequantize(codes.values, codes.format)
            constants[inputs[place]] = real.reshape(graph.constants[name].shape)
        nodes.append(replace(node, inputs=tuple(inputs)))
    return replace(graph, nodes=tuple(nodes), constants=frozen_mapping(constants))
