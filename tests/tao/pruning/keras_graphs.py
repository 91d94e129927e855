"""Keras networks of the vendor's vectors as graphs: one node a layer, names and layouts kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.nn.builder import GraphBuilder

Layer = Mapping[str, Any]
Weights = Mapping[str, npt.NDArray[np.float32]]


class Reader:
    """Grows a graph from a list of Keras layers."""

    def __init__(self, layers: list[Layer], weights: Weights) -> None:
        self.builder = GraphBuilder("keras")
        self.weights = weights
        self.tensors: dict[str, str] = {}
        for layer in layers:
            inputs = [self.tensors[name] for name in layer["inputs"]]
            self.tensors[layer["name"]] = _READERS[layer["type"]](self, layer, inputs)
        self.last = layers[-1]["name"]

    def constant(self, layer: Layer, key: str, *axes: int) -> str:
        """Add a constant of a layer, its axes in our order."""
        value = self.weights[f"{layer['name']}/{key}"]
        return self.builder.add_constant(f"{layer['name']}.{key}", value.transpose(axes or None))

    def bias(self, layer: Layer) -> list[str]:
        """Add a layer's bias if it has one."""
        return [self.constant(layer, "bias", 0)] if layer["config"]["use_bias"] else []


def graph_of(layers: list[Layer], weights: Weights) -> Graph:
    """Return the graph of a Keras network over NCHW images."""
    reader = Reader(layers, weights)
    return reader.builder.finish([reader.tensors[reader.last]])


def _input(reader: Reader, layer: Layer, _: list[str]) -> str:
    _, height, width, channels = layer["output_shape"]
    return reader.builder.add_input(layer["name"], (channels, height, width))


def _conv(reader: Reader, layer: Layer, inputs: list[str]) -> str:
    config = layer["config"]
    shape = reader.builder.shape_of(inputs[0])[1:]
    pads = [_same(s, k, d) for s, k, d in zip(shape, config["kernel_size"], config["strides"])]
    weights = reader.constant(layer, "kernel", 3, 2, 0, 1)
    around = (*(p // 2 for p in pads), *(p - p // 2 for p in pads))
    return reader.builder.add(Op.CONV, [*inputs, weights, *reader.bias(layer)], layer["name"],
                              strides=tuple(config["strides"]), pads=around)  # fmt: skip


def _same(size: int, kernel: int, stride: int) -> int:
    """TensorFlow's SAME: the total padding of an axis, the odd one at the end."""
    return max(0, (-(-size // stride) - 1) * stride + kernel - size)


def _dense(reader: Reader, layer: Layer, inputs: list[str]) -> str:
    weights = reader.constant(layer, "kernel", 1, 0)
    return reader.builder.add(Op.LINEAR, [*inputs, weights, *reader.bias(layer)], layer["name"])


def _norm(reader: Reader, layer: Layer, inputs: list[str]) -> str:
    keys = ("gamma", "beta", "moving_mean", "moving_variance")
    constants = [reader.constant(layer, key, 0) for key in keys]
    return reader.builder.add(Op.BATCH_NORM, [*inputs, *constants], layer["name"],
                              epsilon=layer["config"]["epsilon"])  # fmt: skip


def _pool(reader: Reader, layer: Layer, inputs: list[str]) -> str:
    config = layer["config"]
    kernel, strides = tuple(config["pool_size"]), tuple(config["strides"])
    return reader.builder.add(Op.MAX_POOL, inputs, layer["name"], kernel=kernel, strides=strides)


def _average(reader: Reader, layer: Layer, inputs: list[str]) -> str:
    pooled = reader.builder.add(Op.GLOBAL_AVG_POOL, inputs, layer["name"])
    return reader.builder.add(Op.FLATTEN, [pooled], layer["name"] + "_flat")


def _flatten(reader: Reader, layer: Layer, inputs: list[str]) -> str:
    # Keras flattens with channels last.
    last = reader.builder.add(Op.TRANSPOSE, inputs, layer["name"] + "_nhwc", perm=(0, 2, 3, 1))
    return reader.builder.add(Op.FLATTEN, [last], layer["name"])


def _relu(reader: Reader, layer: Layer, inputs: list[str]) -> str:
    return reader.builder.add(Op.RELU, inputs, layer["name"])


def _add(reader: Reader, layer: Layer, inputs: list[str]) -> str:
    return reader.builder.add(Op.ADD, inputs, layer["name"])


_READERS: dict[str, Callable[[Reader, Layer, list[str]], str]] = {
    "InputLayer": _input, "Conv2D": _conv, "Dense": _dense, "BatchNormalization": _norm,
    "MaxPooling2D": _pool, "GlobalAveragePooling2D": _average, "Flatten": _flatten,
    "ReLU": _relu, "Activation": _relu, "Add": _add,
}  # fmt: skip
