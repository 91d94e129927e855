"""The two benchmark networks, once as data and then in every form that is measured.

Weights are seeded random numbers; scales are powers of two, calibrated on a few seeded images so
that codes use their range without saturating everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nibblefit.fixed.formats import Accumulator, Format, Rounding, Scale
from nibblefit.fixed.steps import Clamp, ShiftLeft, ShiftRight, Steps
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode, QuantizedTensor

SEED = 20260101


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer; kinds are ``conv``, ``add``, ``maxpool``, ``mean`` (global) and ``linear``."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    channels: int = 0
    kernel: int = 1
    stride: int = 1
    relu: bool = False

    @property
    def pad(self) -> int:
        """Padding on every side."""
        return self.kernel // 2


@dataclass(frozen=True)
class Network:
    """A network as data; the input tensor is called ``x``."""

    name: str
    shape: tuple[int, int, int]
    layers: tuple[Layer, ...]

    @property
    def output(self) -> str:
        """Name of the only output."""
        return self.layers[-1].name

    @cached_property
    def parameters(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Seeded He-normal weights and small biases by layer name."""
        random = torch.Generator().manual_seed(SEED)
        channels, found = {"x": self.shape[0]}, {}
        for layer in self.layers:
            inside = channels[layer.inputs[0]]
            channels[layer.name] = layer.channels or inside
            if layer.kind in ("conv", "linear"):
                kernel = (layer.kernel, layer.kernel) if layer.kind == "conv" else ()
                weights = torch.randn(layer.channels, inside, *kernel, generator=random)
                weights *= (2.0 / weights[0].numel()) ** 0.5
                found[layer.name] = (weights, torch.randn(layer.channels, generator=random) * 0.1)
        return found

    def images(self, count: int, seed: int = SEED) -> Tensor:
        """Return seeded int8 input codes; their real value is code / 128."""
        random = torch.Generator().manual_seed(seed)
        normal = torch.randn(count, *self.shape, generator=random) * 40
        return normal.round().clamp(-128, 127).to(torch.int8)


def _basic_block(name: str, x: str, channels: int, stride: int, is_projected: bool) -> list[Layer]:
    layers = [
        Layer(f"{name}.conv1", "conv", (x,), channels, 3, stride, relu=True),
        Layer(f"{name}.conv2", "conv", (f"{name}.conv1",), channels, 3),
    ]
    shortcut = x
    if is_projected:
        shortcut = f"{name}.shortcut"
        layers.append(Layer(shortcut, "conv", (x,), channels, 1, stride))
    layers.append(Layer(f"{name}.add", "add", (f"{name}.conv2", shortcut), relu=True))
    return layers


def resnet8() -> Network:
    """Return the residual network of the MLPerf Tiny image-classification benchmark."""
    layers = [Layer("stem", "conv", ("x",), 16, 3, relu=True)]
    for index, (channels, stride) in enumerate(((16, 1), (32, 2), (64, 2)), start=1):
        layers += _basic_block(
            f"stack{index}", layers[-1].name, channels, stride, is_projected=stride != 1
        )
    layers += [Layer("mean", "mean", (layers[-1].name,)), Layer("fc", "linear", ("mean",), 10)]
    return Network("ResNet-8", (3, 32, 32), tuple(layers))


def resnet18() -> Network:
    """Return the 18-layer residual network for 224 × 224 images."""
    layers = [
        Layer("stem", "conv", ("x",), 64, 7, 2, relu=True),
        Layer("pool", "maxpool", ("stem",), kernel=3, stride=2),
    ]
    for stage, channels in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            stride = 2 if stage > 1 and block == 0 else 1
            layers += _basic_block(
                f"stage{stage}.{block}", layers[-1].name, channels, stride, stride != 1
            )
    layers += [Layer("mean", "mean", (layers[-1].name,)), Layer("fc", "linear", ("mean",), 1000)]
    return Network("ResNet-18", (3, 224, 224), tuple(layers))


class FloatNetwork(nn.Module):
    """The network in float32, batch normalization already folded."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        for name, (weights, bias) in network.parameters.items():
            key = name.replace(".", "_")
            self.register_parameter(f"{key}_w", nn.Parameter(weights, requires_grad=False))
            self.register_parameter(f"{key}_b", nn.Parameter(bias, requires_grad=False))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.tensors(x)[self.network.output]

    def tensors(self, x: Tensor) -> dict[str, Tensor]:
        """Return every tensor by name."""
        found = {"x": x}
        for layer in self.network.layers:
            found[layer.name] = self._layer(layer, [found[name] for name in layer.inputs])
        return found

    def _layer(self, layer: Layer, inputs: list[Tensor]) -> Tensor:
        x, key, f = inputs[0], layer.name.replace(".", "_"), nn.functional
        if layer.kind == "conv":
            x = f.conv2d(x, getattr(self, f"{key}_w"), getattr(self, f"{key}_b"),
                         layer.stride, layer.pad)  # fmt: skip
        elif layer.kind == "linear":
            x = f.linear(x.flatten(1), getattr(self, f"{key}_w"), getattr(self, f"{key}_b"))
        elif layer.kind == "add":
            x = x + inputs[1]
        elif layer.kind == "maxpool":
            x = f.max_pool2d(x, layer.kernel, layer.stride, layer.pad)
        else:
            x = x.mean((2, 3), keepdim=True)
        return x.relu_() if layer.relu else x


@dataclass(frozen=True)
class Quantized:
    """The network in int8 with power-of-two scales.

    Attributes:
        fractions: Fractional bits of every tensor.
        weights: int8 weights and int32 bias at the sum's scale, by layer.
        weight_fractions: Fractional bits of the weights, by layer.
    """

    network: Network
    fractions: dict[str, int]
    shapes: dict[str, tuple[int, ...]]
    weights: dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]
    weight_fractions: dict[str, int]

    def graph(self) -> QuantizedGraph:
        """Return the graph that judge and engine execute."""
        tensors = {
            name: QuantizedTensor(name, shape, self._format(name))
            for name, shape in self.shapes.items()
        }  # fmt: skip
        constants, nodes = {}, []
        for layer in self.network.layers:
            if layer.name in self.weights:
                for suffix, values, bits in zip(
                    "wb", self.weights[layer.name], (8, 32), strict=True
                ):
                    name = f"{layer.name}.{suffix}"
                    values.flags.writeable = False
                    constants[name] = values
                    tensors[name] = QuantizedTensor(name, values.shape, Format(bits))
            nodes.extend(self._nodes(layer, tensors))
        return QuantizedGraph(
            self.network.name, "benchmark", ("x",), (self.network.output,), tuple(nodes),
            frozen_mapping(tensors), frozen_mapping(constants),
        )  # fmt: skip

    def _format(self, name: str) -> Format:
        return Format(8, True, Scale.power_of_two(self.fractions[name]))

    def _nodes(self, layer: Layer, tensors: dict[str, QuantizedTensor]) -> list[QuantizedNode]:
        name, shift = layer.name, self.shift(layer)
        steps: Steps = (
            ShiftRight(shift, Rounding.HALF_UP), Clamp(0 if layer.relu else -128, 127),
        )  # fmt: skip
        inputs, attributes, aligned, prefix = layer.inputs, {}, (), []
        if layer.name in self.weights:
            inputs = (*inputs, f"{name}.w", f"{name}.b")
        if layer.kind in ("conv", "maxpool"):
            attributes = {"strides": (layer.stride,) * 2, "pads": (layer.pad,) * 4}
        if layer.kind == "maxpool":
            attributes["kernel"], steps = (layer.kernel,) * 2, ()
        if layer.kind == "add":
            finest = max(self.fractions[i] for i in inputs)
            aligned = tuple(_left(finest - self.fractions[i]) for i in inputs)
        if layer.kind == "linear":
            flat = f"{layer.inputs[0]}.flat"
            shape = (int(np.prod(self.shapes[layer.inputs[0]])),)
            tensors[flat] = QuantizedTensor(flat, shape, tensors[layer.inputs[0]].format)
            prefix = [QuantizedNode(flat, Op.FLATTEN, layer.inputs, (flat,))]
            inputs = (flat, *inputs[1:])
        return [*prefix, QuantizedNode(
            name, _OPERATORS[layer.kind], inputs, (name,), frozen_mapping(attributes), aligned,
            steps, Accumulator(32),
        )]  # fmt: skip

    def shift(self, layer: Layer) -> int:
        """Return the right shift from the exact result to the layer's codes."""
        inputs = [self.fractions[name] for name in layer.inputs]
        pixels = int(np.prod(self.shapes[layer.inputs[0]][1:])) if layer.kind == "mean" else 1
        # The sum of a power-of-two number of pixels divides by a shift; 49 pixels count as 64 in
        # the calibrated scale, which changes nothing about the work.
        extra = self.weight_fractions.get(layer.name, 0) + (pixels - 1).bit_length()
        return max(inputs) + extra - self.fractions[layer.name]


_OPERATORS = {
    "conv": Op.CONV, "add": Op.ADD, "maxpool": Op.MAX_POOL, "mean": Op.GLOBAL_AVG_POOL,
    "linear": Op.LINEAR,
}  # fmt: skip


def _left(bits: int) -> Steps:
    return (ShiftLeft(bits),) if bits else ()


def _fraction(values: Tensor) -> int:
    """Return the fractional bits with which the largest magnitude just fits int8."""
    return 7 - int(np.ceil(np.log2(max(float(values.abs().max()), 1e-6))))


def quantize(network: Network) -> Quantized:
    """Return the network in int8, scales calibrated on four seeded images."""
    with torch.inference_mode():
        found = FloatNetwork(network).tensors(network.images(4).float() / 128)
    fractions = {name: _fraction(tensor) for name, tensor in found.items()}
    fractions["x"] = 7
    for layer in network.layers:
        if layer.kind == "maxpool":
            fractions[layer.name] = fractions[layer.inputs[0]]
        if layer.kind == "mean":
            fractions[layer.name] = fractions[layer.inputs[0]]
    weights, weight_fractions = {}, {}
    for name, (real, bias) in network.parameters.items():
        layer = next(one for one in network.layers if one.name == name)
        bits = weight_fractions[name] = _fraction(real)
        codes = (real * 2.0**bits).round().clamp(-128, 127)
        offset = (bias * 2.0 ** (bits + fractions[layer.inputs[0]])).round()
        weights[name] = (codes.numpy().astype(np.int64), offset.numpy().astype(np.int64))
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in found.items()}
    return Quantized(network, fractions, shapes, weights, weight_fractions)
