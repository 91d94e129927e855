"""Networks of every operator that QDQ models have, quantized and written."""

from __future__ import annotations

import numpy as np
import onnx
from tests.tidl.current.executing import quantized
from tests.tidl.networks import Net, classifier

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit_tidl.qdq.writing import to_qdq

#: (device, scale type) of the two forms.
MODES = [("tda4vm", 1), ("am68a", 4)]


def everything() -> Graph:
    """Return a network with most operators, ending in indices and in scores."""
    net = Net((3, 8, 8), seed=2)
    stem = net.conv(net.x, 8, "stem")
    six = net.add(Op.CLIP, [net.conv(stem, 8, "wide", groups=8)], "six", lo=0.0, hi=0.5)
    bounded = net.add(Op.CLIP, [net.conv(six, 8, "b")], "bounded", lo=-0.4, hi=0.4)
    joined = net.add(Op.CONCAT, [six, bounded, net.relu(stem)], "cat", axis=1)
    first, second = net.builder.add_split(joined, 1, [12, 12], "split")
    product = net.add(Op.MUL, [first, second], "product")
    less = net.add(Op.SUB, [product, net.constant("k", np.full((12, 1, 1), 0.1))], "less")
    size = net.add(Op.ABS, [less], "size")
    mean = net.add(Op.AVG_POOL, [size], "mean", kernel=(3, 3), strides=(1, 1), pads=(1,) * 4)
    shuffled = net.add(Op.PIXEL_SHUFFLE, [mean], "shuffled", factor=2, order="crd")
    weight = net.constant("up.weight", net.random.normal(size=(3, 4, 2, 2)) * 0.4)
    up = net.builder.add(Op.CONV_TRANSPOSE, [shuffled, weight], "up", strides=(2, 2), pads=(0,) * 4,
                         dilations=(1, 1), groups=1, output_padding=(0, 0))  # fmt: skip
    small = net.add(Op.MAX_POOL, [up], "small", kernel=(4, 4), strides=(4, 4), pads=(0,) * 4)
    turned = net.add(Op.TRANSPOSE, [small], "turned", perm=(0, 1, 3, 2))
    square = net.add(Op.MATMUL, [small, turned], "square")
    index = net.add(Op.ARGMAX, [square], "index", axis=1, keepdims=True)
    pooled = net.add(Op.GLOBAL_AVG_POOL, [square], "pooled")
    return net.finish(index, net.linear(pooled, 5, "head"))


def curves() -> Graph:
    """Return a network of functions, slopes, padding, interpolation and a softmax."""
    net = Net((3, 8, 8), seed=5)
    stem = net.conv(net.x, 8, "stem")
    gate = net.add(Op.SIGMOID, [net.conv(stem, 8, "a")], "gate")
    bent = net.add(Op.TANH, [net.conv(stem, 8, "b")], "bent")
    hard = net.add(Op.HARD_SIGMOID, [net.conv(stem, 8, "c")], "hard", alpha=0.2, beta=0.5)
    swish = net.add(Op.HARD_SWISH, [net.conv(stem, 8, "d")], "swish")
    leaky = net.add(Op.LEAKY_RELU, [net.conv(stem, 8, "e")], "leaky", slope=0.1)
    slope = net.constant("slope", net.random.uniform(0.05, 0.4, 8))
    learned = net.add(Op.PRELU, [net.conv(stem, 8, "f"), slope], "learned")
    parts = [gate, bent, hard, swish, leaky, learned]
    joined = net.add(Op.CONCAT, parts, "joined", axis=1)
    framed = net.add(Op.PAD, [net.conv(joined, 4, "g")], "framed", pads=(0, 1, 1, 0, 1, 1),
                     value=0.25)  # fmt: skip
    large = net.add(Op.RESIZE_BILINEAR, [framed], "large", sizes=(20, 20), coordinates="half_pixel")
    scores = net.add(Op.SOFTMAX, [net.conv(large, 6, "h", kernel=1)], "scores", axis=1)
    return net.finish(scores, net.linear(net.add(Op.GLOBAL_AVG_POOL, [large], "mean"), 5, "head"))


def made(part: str, kind: int, graph: Graph | None = None,
         batch: int = 1) -> tuple[QuantizedGraph, onnx.ModelProto]:  # fmt: skip
    """Return a network quantized for a device, and its QDQ model."""
    found = quantized(graph or classifier(), part, quantization_scale_type=kind).graph
    return found, to_qdq(found, batch=batch)


def initializer(model: onnx.ModelProto, name: str) -> np.ndarray:
    """Return an initializer's values."""
    found = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    return onnx.numpy_helper.to_array(found)


def replace(model: onnx.ModelProto, name: str, values: np.ndarray) -> None:
    """Give an initializer other values."""
    found = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    found.CopyFrom(onnx.numpy_helper.from_array(values, name))


def node(model: onnx.ModelProto, output: str) -> onnx.NodeProto:
    """Return the node that makes a tensor."""
    return next(entry for entry in model.graph.node if output in entry.output)
