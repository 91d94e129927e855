"""`write_qdq`: a quantized graph as the QDQ ONNX file that TI's tools take as prequantized.

The form follows models exported by edgeai-modeloptimization 11.1: opset 17, IR 8; activations
QuantizeLinear → DequantizeLinear with scalar scale and zero point, network input and output
included; weights int8 → DequantizeLinear, biases int32 → DequantizeLinear with scale
input · weights; nothing between a layer and its rectifier. One thing differs on purpose: tensors
that cannot be negative are uint8 with zero point 0 also where zero points do not exist, where the
vendor's exporter writes zero point 127 and loses a bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

import nibblefit
from nibblefit.errors import UnsupportedError, WorkspaceError
from nibblefit.fixed.apply import apply_steps
from nibblefit.fixed.formats import Format, IntArray
from nibblefit.ir.graph import Graph, Shape, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode
from nibblefit.nn.onnx_export.emitters import EMITTERS
from nibblefit.nn.onnx_export.writer import Writer
from nibblefit_tidl.qdq.layers import Layer, layers_of
from nibblefit_tidl.qdq.naming import quantized_name, raw_name, value_name

OPSET = 17
IR_VERSION = 8
#: Key of the metadata entry that names the exporter; TI's own writes edgeai_torchmodelopt_11.1.0.
MODEL_SOURCE = "model_source"


def write_qdq(graph: QuantizedGraph, path: Path | str, *, batch: int = 1,
              model_source: str = "") -> None:  # fmt: skip
    """Write a quantized graph of target `tidl` as QDQ ONNX; equal graphs give equal bytes.

    Args:
        graph: Quantized with scale type 1 or 4, 8 bits throughout.
        path: File to write.
        batch: Batch size; the tools need static shapes.
        model_source: Entry of the metadata; empty: ``nibblefit_`` and the version.

    Raises:
        UnsupportedError: QDQ has no form for a layer; all of them are listed.
        WorkspaceError: The file cannot be written.
    """
    model = to_qdq(graph, batch=batch, model_source=model_source)
    try:
        Path(path).write_bytes(model.SerializeToString(deterministic=True))
    except OSError as problem:
        raise WorkspaceError(f"{path} cannot be written: {problem.strerror}") from problem


def to_qdq(graph: QuantizedGraph, *, batch: int = 1, model_source: str = "") -> onnx.ModelProto:
    """Return the checked QDQ model of a quantized graph, shapes inferred."""
    layers = layers_of(graph)
    writer = QdqWriter(graph, layers)
    for name in graph.inputs:
        writer.wrap(name, name)
    for layer in layers:
        writer.write(layer)
    model = helper.make_model(
        helper.make_graph(
            writer.nodes,
            graph.name or "network",
            [_declared(graph, name, batch) for name in graph.inputs],
            [_declared(graph, name, batch) for name in graph.outputs],
            list(writer.initializers.values()),
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="nibblefit-tidl",
        producer_version=nibblefit.__version__,
        ir_version=IR_VERSION,
    )
    helper.set_model_props(
        model, {MODEL_SOURCE: model_source or f"nibblefit_{nibblefit.__version__}"}
    )
    inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    onnx.checker.check_model(inferred, full_check=True)
    return inferred


class QdqWriter(Writer):
    """Writes float layers between pairs of QuantizeLinear and DequantizeLinear."""

    def __init__(self, graph: QuantizedGraph, layers: tuple[Layer, ...]) -> None:
        super().__init__(_named(graph, layers), OPSET)
        self.quantized = graph
        self._layer: QuantizedNode | None = None
        self._written: dict[tuple[str, str], str] = {}

    def write(self, layer: Layer) -> None:
        """Write one layer and the pairs behind it."""
        self._layer = layer.quantized
        for node in layer.nodes:
            EMITTERS[node.op](self, node)
        if layer.quantized.op is not Op.ARGMAX:
            for name in layer.quantized.outputs:
                self.wrap(name, raw_name(name))

    def wrap(self, tensor: str, source: str) -> None:
        """Quantize and dequantize the values called `source` in a tensor's format."""
        fmt = self.quantized.tensors[tensor].format
        scale, zero = self._parameters(tensor, fmt)
        codes = quantized_name(tensor)
        for kind, given, made in (
            ("QuantizeLinear", source, codes),
            ("DequantizeLinear", codes, value_name(self.quantized, tensor)),
        ):
            name = self.fresh(f"{tensor}_{kind}")
            self.nodes.append(helper.make_node(kind, [given, scale, zero], [made], name=name))

    def constant(self, name: str) -> str:
        """Write a constant of the layer in hand as integers, and return its real values' name."""
        node = self._layer
        place = node.inputs.index(name) if node is not None else 0
        if node is None or name not in self.quantized.constants:
            return super().constant(name)
        if place == 2 and node.op in (Op.CONV, Op.CONV_TRANSPOSE, Op.LINEAR):
            codes, fmt = _bias(self.quantized, node)
            return self._dequantized(name, codes.astype(np.int32), fmt, owner=node.name)
        fmt = self.quantized.tensors[name].format
        codes = self.quantized.constants[name]
        return self._dequantized(name, codes.astype(np.int8 if fmt.signed else np.uint8), fmt)

    def reshaped(self, name: str, shape: Shape) -> str:
        """Write a constant of the layer in hand in another shape, as integers."""
        if self._layer is None or name not in self.quantized.constants:
            return super().reshaped(name, shape)
        fmt = self.quantized.tensors[name].format
        codes = self.quantized.constants[name].reshape(shape)
        return self._dequantized(name, codes.astype(np.int8 if fmt.signed else np.uint8), fmt)

    def _dequantized(self, name: str, codes: npt.NDArray[Any], fmt: Format,
                     owner: str = "") -> str:  # fmt: skip
        """Write codes and their DequantizeLinear, once; biases once per layer."""
        if (name, owner) in self._written:
            return self._written[name, owner]
        steps = fmt.scale.values()
        per_channel = fmt.axis is not None
        scale = steps.astype(np.float32) if per_channel else np.float32(steps[0])
        zeros = np.full(np.shape(scale), fmt.zero_point[0], codes.dtype)
        made = self.fresh(f"{name}_dequantized")
        parts = {"quantized": codes, "scale": scale, "zero": zeros}
        given = [self._array(self.fresh(f"{name}_{part}"), value) for part, value in parts.items()]
        attributes: dict[str, Any] = {"axis": fmt.axis} if per_channel else {}
        self.nodes.append(
            helper.make_node("DequantizeLinear", given, [made], name=f"{made}_node", **attributes)
        )
        self._written[name, owner] = made
        return made

    def _parameters(self, tensor: str, fmt: Format) -> tuple[str, str]:
        """Write scale and zero point of an activation."""
        kind = np.int8 if fmt.signed else np.uint8
        scale = np.float32(fmt.scale.values()[0])
        zero = np.array(fmt.zero_point[0], kind)
        return (self._array(self.fresh(f"{tensor}_scale"), scale),
                self._array(self.fresh(f"{tensor}_zero"), zero))  # fmt: skip

    def _array(self, name: str, value: npt.ArrayLike) -> str:
        self.initializers[name] = numpy_helper.from_array(np.array(value, order="C"), name)
        return name


def _bias(graph: QuantizedGraph, node: QuantizedNode) -> tuple[IntArray, Format]:
    """Return a layer's bias in accumulator steps, and its format."""
    name = node.inputs[2]
    codes = apply_steps(graph.constants[name][None], node.steps_of_input(2))[0]
    most = np.iinfo(np.int32).max
    if codes.size and int(np.abs(codes).max()) > most:
        raise UnsupportedError(
            f"layer '{node.name}': bias {int(np.abs(codes).max())} exceeds int32",
            hint="its weights are extremely small beside its bias; rescale the layer",
        )
    x, weights = (graph.tensors[given].format for given in node.inputs[:2])
    steps = bias_steps(float(x.scale.values()[0]), weights.scale.values())
    return codes, Format(32, True, type(x.scale).real(*steps.tolist()), (0,),
                         0 if weights.axis is not None else None)  # fmt: skip


def bias_steps(input_step: float, weight_steps: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the bias scales that a file holds: float32 products of input and weight scales."""
    return (input_step * weight_steps).astype(np.float32).astype(np.float64)


def _declared(graph: QuantizedGraph, name: str, batch: int) -> onnx.ValueInfoProto:
    indices = {node.output for node in graph.nodes if node.op is Op.ARGMAX}
    kind = TensorProto.INT64 if name in indices else TensorProto.FLOAT
    return helper.make_tensor_value_info(name, kind, [batch, *graph.tensors[name].shape])


def _named(graph: QuantizedGraph, layers: tuple[Layer, ...]) -> Graph:
    """Return a float graph that knows every name and shape the emitters ask for."""
    shapes: dict[str, Shape] = {}
    for name, tensor in graph.tensors.items():
        if name not in graph.constants:
            names = (name, value_name(graph, name), raw_name(name), quantized_name(name))
            shapes.update(dict.fromkeys(names, tensor.shape))
    for layer in layers:
        for node in layer.nodes[:-1]:
            shapes[node.output] = graph.tensors[layer.quantized.output].shape
    constants: Mapping[str, Any] = {
        name: codes.astype(np.float32) for name, codes in graph.constants.items()
    }
    nodes = tuple(node for layer in layers for node in layer.nodes)
    return Graph(graph.name, graph.inputs, graph.outputs, nodes, frozen_mapping(shapes),
                 frozen_mapping(constants))  # fmt: skip
