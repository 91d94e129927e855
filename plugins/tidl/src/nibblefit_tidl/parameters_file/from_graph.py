"""The parameters of a quantized network, and ranges for the quantizer from a file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import Format
from nibblefit.fixed.quantize import dequantize
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode
from nibblefit_tidl.parameters_file.message import (
    CalibType,
    LayerParameters,
    NetworkParameters,
    TensorParameters,
)

#: Names of TIDL's layers. Source: edgeai-tidl-tools 11_00_06_00, supported operators.
LAYER_TYPES: Mapping[Op, str] = {
    Op.CONV: "Convolution", Op.CONV_TRANSPOSE: "Deconv2D", Op.LINEAR: "InnerProduct",
    Op.MATMUL: "InnerProduct", Op.SCALE_OFFSET: "BatchNorm", Op.MAX_POOL: "Pooling",
    Op.AVG_POOL: "Pooling", Op.GLOBAL_AVG_POOL: "Pooling", Op.ADD: "EltWise", Op.SUB: "EltWise",
    Op.MUL: "EltWise", Op.CONCAT: "Concat", Op.SLICE: "Slice", Op.SPLIT: "Slice",
    Op.SOFTMAX: "SoftMax", Op.ARGMAX: "ArgMax", Op.RESIZE_NEAREST: "Resize",
    Op.RESIZE_BILINEAR: "Resize",
}  # fmt: skip
#: The layer that stands for a network input.
DATA = "Data"


def parameters_of(graph: QuantizedGraph) -> NetworkParameters:
    """Return the quantization parameters of a network.

    Ranges are those that calibration found, so that the tools derive the same scales; tensors
    without one (kept formats) have the range that their codes can express.

    Raises:
        UnsupportedError: The network has zero points: such files are symmetric only.
    """
    kind = graph.metadata.get("quantization_scale_type")
    if kind not in (0, 1):
        raise UnsupportedError(
            f"quantization_scale_type is {kind}; quantization-parameter files are symmetric only",
            hint="quantize with quantization_scale_type 0 or 1",
        )
    layers = [LayerParameters(name, DATA, graph.tensors[name].format.bits,
                              (_tensor(graph, name),)) for name in graph.inputs]  # fmt: skip
    layers += [_layer(graph, node) for node in graph.nodes]
    several = any(len(tensor.scale) > 1 for layer in layers for tensor in layer.weights)
    calibration = CalibType.PERCHANNEL if several else CalibType.PERTENSOR
    return NetworkParameters(len(layers), calib_type=calibration, layers=tuple(layers))


def ranges_from(parameters: NetworkParameters) -> dict[str, tuple[float, float]]:
    """Return the range of every layer's output by name, as the quantizer takes them."""
    return {
        layer.layer_name: (min(tensor.min, 0.0), max(tensor.max, 0.0))
        for layer in parameters.layers
        for tensor in layer.outputs[:1]
        if tensor.min is not None and tensor.max is not None
    }


def _layer(graph: QuantizedGraph, node: QuantizedNode) -> LayerParameters:
    weights: tuple[TensorParameters, ...] = ()
    bias: tuple[TensorParameters, ...] = ()
    if node.op in WEIGHTED:
        weights = (_constant(graph, node.inputs[1]),)
        bias = tuple(_constant(graph, name, valued=True) for name in node.inputs[2:])
    slope = (_constant(graph, node.inputs[1], valued=True),) if node.op is Op.PRELU else ()
    return LayerParameters(
        node.output, LAYER_TYPES.get(node.op, node.op.value), _width(graph, node),
        tuple(_tensor(graph, name) for name in node.outputs), weights, bias, slope,
    )  # fmt: skip


def _width(graph: QuantizedGraph, node: QuantizedNode) -> int:
    return 32 if node.op is Op.ARGMAX else graph.tensors[node.output].format.bits


def _tensor(graph: QuantizedGraph, name: str) -> TensorParameters:
    tensor = graph.tensors[name]
    fmt = tensor.format
    step = float(fmt.scale.values()[0])
    lo, hi = graph.metadata.get("ranges", {}).get(
        name, ((fmt.lo - fmt.zero_point[0]) * step, (fmt.hi - fmt.zero_point[0]) * step)
    )
    return TensorParameters(float(lo), float(hi), int(np.prod(tensor.shape)), fmt.name,
                            _codes_per_unit(fmt), fmt.zero_point)  # fmt: skip


def _constant(graph: QuantizedGraph, name: str, *, valued: bool = False) -> TensorParameters:
    fmt = graph.tensors[name].format
    real = dequantize(graph.constants[name], fmt)
    return TensorParameters(
        float(real.min(initial=0.0)), float(real.max(initial=0.0)), real.size, fmt.name,
        _codes_per_unit(fmt), fmt.zero_point,
        tuple(real.reshape(-1).tolist()) if valued else (),
    )  # fmt: skip


def _codes_per_unit(fmt: Format) -> tuple[float, ...]:
    return tuple((1.0 / fmt.scale.values()).tolist())
