"""Writes an integer graph as QDQ ONNX in standard operators.

Every real tensor the integer graph quantizes passes a QuantizeLinear / DequantizeLinear pair, and
every weight and bias is an integer initializer behind a DequantizeLinear. Scales are float32
numbers by construction, so the file holds every format exactly.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import Format, IntArray
from nibblefit.ir.graph import Graph
from nibblefit.ir.numerics import Numerics
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.nn.onnx_export.entry import to_onnx
from nibblefit.quantization.qdq.topology import float_graph
from nibblefit.quantization.units import AVERAGES, Output, units

WIDTHS_KEY = "nibblefit.widths"
#: Kept formats that a runtime must still round to: these operators compute new values.
_ROUNDED = AVERAGES | {Op.RESIZE_BILINEAR, Op.PAD}


@dataclass(frozen=True, slots=True)
class QdqStyle:
    """What a runtime expects of a QDQ file.

    Attributes:
        float_weights: Weights are real numbers in front of a quantizer, as TensorRT's importer
            wants them; otherwise they are stored as integers.
        float_bias: Biases are real numbers that pass no quantizer, for arithmetics whose scales
            are no powers of two. Every code of a bias must be readable from its float32 value.
    """

    float_weights: bool = False
    float_bias: bool = False


def qdq_model(graph: QuantizedGraph, numerics: Numerics, properties: Mapping[str, str],
              style: QdqStyle = QdqStyle()) -> onnx.ModelProto:  # fmt: skip
    """Return the QDQ model of a graph, checked by onnx.

    Args:
        graph: With its topology in the metadata.
        numerics: The arithmetic it was quantized for.
        properties: Entries of the file's metadata, such as the target's options.
        style: See `QdqStyle`.

    Raises:
        UnsupportedError: The style has real biases, and one cannot be told by a float32 number.
    """
    real = float_graph(graph)
    quantized = quantized_tensors(real, numerics)
    wide = any(graph.tensors[name].format.bits > 8 for name in quantized)
    model = to_onnx(real, opset=21 if wide else 17)
    _Rewriter(model, graph, style).rewrite(quantized)
    entries = {**properties, WIDTHS_KEY: json.dumps(_widths(graph), sort_keys=True)}
    helper.set_model_props(model, entries)
    onnx.checker.check_model(model, full_check=True)
    return model


def quantized_tensors(real: Graph, numerics: Numerics) -> tuple[str, ...]:
    """Return the tensors that pass a quantizer, in order."""
    found = list(real.inputs)
    for unit in units(real, numerics):
        computed = unit.output is Output.CALIBRATED or unit.node.op is Op.SOFTMAX
        if computed or (unit.output is Output.KEPT and unit.node.op in _ROUNDED):
            found.extend(unit.tensors)
    return tuple(found)


def _widths(graph: QuantizedGraph) -> dict[str, int]:
    """Return the widths that differ from those of the ONNX type that holds them."""
    return {
        name: tensor.format.bits
        for name, tensor in graph.tensors.items()
        if tensor.format.bits not in (8, 16, 32)
    }


class _Rewriter:
    """Inserts quantizers into a float model."""

    def __init__(self, model: onnx.ModelProto, graph: QuantizedGraph, style: QdqStyle) -> None:
        self.model, self.graph, self.style = model, graph, style
        self.initializers = {item.name: item for item in model.graph.initializer}
        self.before: list[onnx.NodeProto] = []

    def rewrite(self, quantized: Iterable[str]) -> None:
        for name in list(self.initializers):
            owner = name if name in self.graph.constants else name.rpartition(":")[0]
            if owner in self.graph.constants:
                self._constant(name, owner)
        names = dict.fromkeys(quantized)
        renamed = {name: f"{name}:dq" for name in names if name in self.graph.inputs}
        body: list[onnx.NodeProto] = []
        for name, real in renamed.items():
            body += self._pair(name, name, real)
        for node in self.model.graph.node:
            made = [name for name in node.output if name in names]
            node.input[:] = [renamed.get(name, name) for name in node.input]
            node.output[:] = [f"{name}:raw" if name in names else name for name in node.output]
            body.append(node)
            for name in made:
                body += self._pair(name, f"{name}:raw", name)
        del self.model.graph.node[:]
        self.model.graph.node.extend([*self.before, *body])
        del self.model.graph.initializer[:]
        self.model.graph.initializer.extend(self.initializers.values())
        del self.model.graph.value_info[:]

    def _constant(self, name: str, owner: str) -> None:
        """Replace a float initializer by codes behind a DequantizeLinear, as the style asks."""
        fmt, codes = self.graph.tensors[owner].format, self.graph.constants[owner]
        axis, dims = fmt.axis, tuple(self.initializers[name].dims)
        if name.endswith(":turned"):
            codes, axis = codes.T, None if axis is None else codes.ndim - 1 - axis
        if fmt.bits > 16 and self.style.float_bias:
            self._float_bias(name, fmt, codes)
            return
        real = self.initializers.pop(name)
        source = f"{name}:codes"
        scale = self._scale(name, fmt)
        if self.style.float_weights and fmt.bits <= 16:  # quantizers make no wider codes
            real.name = f"{name}:real"
            self.initializers[real.name] = real
            self.before.append(_along("QuantizeLinear", [real.name, *scale], source,
                                      f"{name}:q", axis))  # fmt: skip
        else:
            self._store(source, codes.reshape(dims).astype(_dtype(fmt)))
        self.before.append(_along("DequantizeLinear", [source, *scale], name, f"{name}:dq", axis))

    def _float_bias(self, name: str, fmt: Format, codes: IntArray) -> None:
        """Leave a bias a real number, if float32 numbers tell its codes."""
        if fmt.scale.is_power_of_two:
            raise UnsupportedError(
                f"the bias '{name}' has a power of two of its own as scale, which a real number "
                "does not tell",
                hint="write biases as integers",
            )
        steps = fmt.scale.values()
        real = (codes * steps).astype(np.float32)
        if not np.array_equal(np.rint(real.astype(np.float64) / steps), codes):
            raise UnsupportedError(
                f"a bias of '{name}' is too large to be told exactly by a 32-bit float: "
                f"{int(np.abs(codes).max()):,} steps",
                hint="its weights are tiny beside it: train with weight decay, or fold less",
            )
        self._store(name, real.reshape(tuple(self.initializers[name].dims)))

    def _pair(self, name: str, source: str, target: str) -> list[onnx.NodeProto]:
        """Return the quantizer of one tensor; narrow widths are clipped first."""
        fmt, nodes = self.graph.tensors[name].format, []
        scale = self._scale(name, fmt)
        if fmt.bits not in (8, 16):
            step = fmt.scale.values()[0]
            for word, code in (("lowest", fmt.lo), ("highest", fmt.hi)):
                bound = np.float32((code - fmt.zero_point[0]) * step)
                self._store(f"{name}:{word}", np.array(bound))
            limits = [f"{name}:lowest", f"{name}:highest"]
            nodes.append(helper.make_node("Clip", [source, *limits], [f"{name}:limited"],
                                          name=f"{name}:limit"))  # fmt: skip
            source = f"{name}:limited"
        nodes.append(helper.make_node("QuantizeLinear", [source, *scale], [f"{name}:codes"],
                                      name=f"{name}:quantize"))  # fmt: skip
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}:codes", *scale], [target],
                                      name=f"{name}:dequantize"))  # fmt: skip
        return nodes

    def _scale(self, name: str, fmt: Format) -> list[str]:
        steps = fmt.scale.values().astype(np.float32)
        zeros = np.broadcast_to(np.array(fmt.zero_point), steps.shape).astype(_dtype(fmt))
        if fmt.axis is None:
            steps, zeros = steps.reshape(()), zeros.reshape(())
        self._store(f"{name}:scale", steps)
        self._store(f"{name}:zero", zeros)
        return [f"{name}:scale", f"{name}:zero"]

    def _store(self, name: str, values: npt.NDArray[np.generic] | IntArray) -> None:
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)


def _along(
    kind: str, inputs: list[str], output: str, name: str, axis: int | None
) -> onnx.NodeProto:
    node = helper.make_node(kind, inputs, [output], name=name)
    if axis is not None:
        node.attribute.append(helper.make_attribute("axis", axis))
    return node


def _dtype(fmt: Format) -> type[np.generic]:
    """Return the ONNX container of a format: the next of 8, 16 and 32 bits."""
    size = 8 if fmt.bits <= 8 else 16 if fmt.bits <= 16 else 32
    kinds: dict[tuple[int, bool], type[np.generic]] = {
        (8, True): np.int8, (8, False): np.uint8, (16, True): np.int16, (16, False): np.uint16,
        (32, True): np.int32,
    }  # fmt: skip
    return kinds[size, fmt.signed]
