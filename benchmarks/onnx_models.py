"""The benchmark networks as ONNX models for ONNX Runtime: QDQ, and integer operators."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from networks import Layer, Quantized
from onnx import helper, numpy_helper

_OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]


class _Model:
    """Nodes and initializers of one model under construction."""

    def __init__(self, quantized: Quantized, code: type[np.generic]) -> None:
        self.quantized, self.network = quantized, quantized.network
        self.code = np.dtype(code)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, name: str, values: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
        """Add an initializer once and return its name."""
        if all(known.name != name for known in self.initializers):
            array = np.asarray(values, dtype=dtype)
            self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: object) -> str:
        """Add a node and return its output."""
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def microsoft(self, op: str, inputs: list[str], output: str, **attributes: object) -> str:
        """Add a node of ONNX Runtime's own operator set."""
        return self.node(op, inputs, output, domain="com.microsoft", **attributes)

    def zero(self, name: str) -> int:
        """Return the zero point: rectified tensors need none as uint8, others sit in the middle."""
        if self.code == np.int8:
            return 0
        is_rectified = any(layer.name == name and layer.relu for layer in self.network.layers)
        kept = {layer.name: layer.inputs[0] for layer in self.network.layers
                if layer.kind in ("maxpool", "mean")}  # fmt: skip
        return self.zero(kept[name]) if name in kept else 0 if is_rectified else 128

    def scale(self, name: str) -> list[str]:
        """Return the initializers scale and zero point of a tensor."""
        fraction = self.quantized.fractions[name]
        return [self.constant(f"{name}.scale", 2.0**-fraction, np.float32),
                self.constant(f"{name}.zero", self.zero(name), self.code)]  # fmt: skip

    def weight_scale(self, name: str) -> list[str]:
        """Return the initializers scale and zero point of a layer's weights."""
        fraction = self.quantized.weight_fractions[name]
        return [self.constant(f"{name}.w.scale", 2.0**-fraction, np.float32),
                self.constant("w.zero", 0, np.int8)]  # fmt: skip

    def weights(self, name: str) -> tuple[str, str]:
        """Return the initializers weights and bias of a layer."""
        weights, bias = self.quantized.weights[name]
        return (self.constant(f"{name}.w", weights, np.int8),
                self.constant(f"{name}.b", bias, np.int32))  # fmt: skip

    def finish(self, kind: str) -> bytes:
        """Return the serialized model; the batch size is free."""
        code = helper.np_dtype_to_tensor_dtype(self.code)
        out = self.quantized.shapes[self.network.output]
        graph = helper.make_graph(
            self.nodes, f"{self.network.name} {kind}",
            [helper.make_tensor_value_info("x", code, ["n", *self.network.shape])],
            [helper.make_tensor_value_info(self.network.output, code, ["n", *out])],
            self.initializers,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=_OPSETS, ir_version=8)
        return bytes(model.SerializeToString())


def _geometry(layer: Layer) -> dict[str, object]:
    return {"strides": [layer.stride] * 2, "pads": [layer.pad] * 4,
            "kernel_shape": [layer.kernel] * 2}  # fmt: skip


def integer_model(quantized: Quantized) -> bytes:
    """Return the network in ONNX Runtime's integer operators, uint8 activations, int8 weights.

    Rectifiers are the saturation at the zero point 0.
    """
    m = _Model(quantized, np.uint8)
    for layer in quantized.network.layers:
        x, out = layer.inputs[0], layer.name
        if layer.kind == "conv":
            weights, bias = m.weights(out)
            inputs = [x, *m.scale(x), weights, *m.weight_scale(out), *m.scale(out), bias]
            m.node("QLinearConv", inputs, out, **_geometry(layer))
        elif layer.kind == "add":
            other = layer.inputs[1]
            m.microsoft("QLinearAdd", [x, *m.scale(x), other, *m.scale(other), *m.scale(out)], out)
        elif layer.kind == "maxpool":
            m.node("MaxPool", [x], out, **_geometry(layer))
        elif layer.kind == "mean":
            m.microsoft("QLinearGlobalAveragePool", [x, *m.scale(x), *m.scale(out)], out,
                        channels_last=0)  # fmt: skip
        else:
            weights, bias = m.weights(out)
            flat = m.node("Flatten", [x], f"{x}.flat")
            m.microsoft("QGemm", [flat, *m.scale(x), weights, *m.weight_scale(out), bias,
                                  *m.scale(out)], out, transB=1)  # fmt: skip
    return m.finish("integer operators")


def qdq_model(quantized: Quantized) -> bytes:
    """Return the network as float operators between QuantizeLinear and DequantizeLinear, int8."""
    m = _Model(quantized, np.int8)

    def real(name: str) -> str:
        wanted = f"{name}.real"
        if all(wanted != node.name for node in m.nodes):
            m.node("DequantizeLinear", [name, *m.scale(name)], wanted)
        return wanted

    def real_weights(name: str, x: str) -> list[str]:
        weights, bias = m.weights(name)
        total = quantized.weight_fractions[name] + quantized.fractions[x]
        scale = m.constant(f"{name}.b.scale", 2.0**-total, np.float32)
        zero = m.constant("b.zero", 0, np.int32)
        return [m.node("DequantizeLinear", [weights, *m.weight_scale(name)], f"{name}.w.real"),
                m.node("DequantizeLinear", [bias, scale, zero], f"{name}.b.real")]  # fmt: skip

    for layer in quantized.network.layers:
        x, out = layer.inputs[0], layer.name
        if layer.kind == "conv":
            made = m.node(
                "Conv", [real(x), *real_weights(out, x)], f"{out}.sum", **_geometry(layer)
            )
        elif layer.kind == "add":
            made = m.node("Add", [real(x), real(layer.inputs[1])], f"{out}.sum")
        elif layer.kind == "maxpool":
            made = m.node("MaxPool", [real(x)], f"{out}.sum", **_geometry(layer))
        elif layer.kind == "mean":
            made = m.node("GlobalAveragePool", [real(x)], f"{out}.sum")
        else:
            flat = m.node("Flatten", [real(x)], f"{x}.flat")
            made = m.node("Gemm", [flat, *real_weights(out, x)], f"{out}.sum", transB=1)
        if layer.relu:
            made = m.node("Relu", [made], f"{out}.relu")
        m.node("QuantizeLinear", [made, *m.scale(out)], out)
    return m.finish("QDQ")
