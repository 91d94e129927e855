"""Small networks with formats, one for every way an operator is written in XIR."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.nn.builder import GraphBuilder
from nibblefit_vitis.formats import FixPosition, NetworkFormats
from nibblefit_vitis.grouping import groups


class Net:
    """Builds a network with random parameters, one call per layer."""

    def __init__(self, *shape: int, name: str = "Net") -> None:
        self.random = np.random.default_rng(1)
        self.builder = GraphBuilder(name)
        self.x = self.builder.add_input("x", shape)

    def constant(self, name: str, *shape: int) -> str:
        """Add a random constant."""
        values = self.random.normal(size=shape).astype(np.float32)
        return self.builder.add_constant(name, values)

    def conv(self, x: str, out: int, name: str, *, kernel: int = 3, groups: int = 1,
             bias: bool = True, **more: object) -> str:  # fmt: skip
        """Add a convolution that keeps the size, unless told otherwise."""
        ins = self.builder.shape_of(x)[0]
        inputs = [x, self.constant(f"{name}.weight", out, ins // groups, kernel, kernel)]
        inputs += [self.constant(f"{name}.bias", out)] if bias else []
        given = {"strides": (1, 1), "pads": (kernel // 2,) * 4, "dilations": (1, 1)}
        return self.builder.add(Op.CONV, inputs, name, **{**given, "groups": groups, **more})

    def deconv(self, x: str, out: int, name: str, *, groups: int = 1, **more: object) -> str:
        """Add a transposed convolution with a kernel of (3, 2) and stride 2."""
        ins = self.builder.shape_of(x)[0]
        inputs = [x, self.constant(f"{name}.weight", ins, out // groups, 3, 2),
                  self.constant(f"{name}.bias", out)]  # fmt: skip
        given = {"strides": (2, 2), "pads": (1, 0, 0, 1), "dilations": (1, 1), "groups": groups}
        return self.builder.add(Op.CONV_TRANSPOSE, inputs, name, **{**given, **more})

    def linear(self, x: str, out: int, name: str) -> str:
        """Add a dense layer."""
        ins = self.builder.shape_of(x)[-1]
        inputs = [x, self.constant(f"{name}.weight", out, ins), self.constant(f"{name}.bias", out)]
        return self.builder.add(Op.LINEAR, inputs, name)

    def add(self, op: Op, inputs: list[str], name: str, **attributes: object) -> str:
        """Add any node."""
        return self.builder.add(op, inputs, name, **attributes)

    def done(self, *outputs: str) -> Graph:
        """Return the network."""
        return self.builder.finish(list(outputs))


def formats_of(graph: Graph, position: int = 4) -> NetworkFormats:
    """Return 8-bit formats for everything that is quantized, none of them alike by chance."""
    outputs = {name: FixPosition(8, position) for name in graph.inputs}
    outputs |= {group.end: FixPosition(8, position + index % 3 - 1)
                for index, group in enumerate(groups(graph)) if group.quantized}  # fmt: skip
    params = {name: FixPosition(8, 5 + index % 2) for index, name in enumerate(graph.constants)}
    return NetworkFormats(frozen_mapping(params), frozen_mapping(outputs))


def samples(graph: Graph, count: int = 3, scale: float = 2.0) -> dict[str, npt.NDArray[np.float32]]:
    """Return random inputs."""
    random = np.random.default_rng(5)
    return {
        name: (random.normal(size=(count, *graph.shapes[name])) * scale).astype(np.float32)
        for name in graph.inputs
    }


def convolutions() -> Graph:
    """Return plain, strided, dilated, grouped, depthwise (times 2) and bias-free convolutions."""
    net = Net(4, 9, 7)
    x = net.conv(net.x, 6, "plain", strides=(2, 1), pads=(1, 0, 2, 1))
    x = net.add(Op.RELU, [x], "relu")
    x = net.conv(x, 12, "depthwise", groups=6)
    x = net.add(Op.CLIP, [x], "relu6", lo=0.0, hi=6.0)
    x = net.conv(x, 8, "grouped", groups=2, bias=False, kernel=1)
    return net.done(net.conv(x, 4, "dilated", dilations=(2, 1), pads=(2, 1, 2, 1)))


def transposed_convolutions() -> Graph:
    """Return transposed convolutions, one of them depthwise."""
    net = Net(3, 5, 4)
    x = net.deconv(net.x, 4, "up")
    return net.done(net.deconv(x, 4, "up_depthwise", groups=4))


def pools() -> Graph:
    """Return all pools, with padding, ceil mode and areas that are no powers of two."""
    net = Net(3, 14, 12)
    x = net.add(Op.MAX_POOL, [net.x], "max", kernel=(3, 2), strides=(2, 1), pads=(1, 0, 1, 1),
                dilations=(1, 1), ceil_mode=True)  # fmt: skip
    x = net.add(Op.AVG_POOL, [x], "mean", kernel=(3, 3), strides=(1, 1), pads=(0, 0, 0, 0),
                dilations=(1, 1), ceil_mode=False, count_include_pad=False)  # fmt: skip
    y = net.add(Op.GLOBAL_AVG_POOL, [x], "whole")
    z = net.add(Op.GLOBAL_MAX_POOL, [x], "largest")
    return net.done(net.add(Op.ADD, [y, z], "sum"))


def activations() -> Graph:
    """Return leaky, parametric and hard activations, one behind the other."""
    net = Net(4, 5, 5)
    x = net.add(Op.LEAKY_RELU, [net.conv(net.x, 4, "conv")], "leaky", slope=0.1015625)
    x = net.add(Op.HARD_SWISH, [x], "swish")
    x = net.add(Op.HARD_SIGMOID, [x], "gate")
    x = net.add(Op.PRELU, [x, net.constant("prelu.weight", 4)], "prelu")
    return net.done(net.add(Op.SOFTMAX, [net.add(Op.TANH, [x], "tanh")], "softmax", axis=1))


def flattened() -> Graph:
    """Return a network that flattens an image, so that channels must come first."""
    net = Net(3, 4, 2)
    x = net.add(Op.FLATTEN, [net.conv(net.x, 2, "conv")], "flat", start_axis=1)
    x = net.add(Op.RELU, [net.linear(x, 12, "first")], "relu")
    x = net.add(Op.RESHAPE, [x], "image", shape=(3, 2, 2))
    return net.done(net.conv(x, 4, "last"))


def moved() -> Graph:
    """Return transpositions, slices, splits, padding, resizing and shuffling."""
    net = Net(8, 4, 6)
    x = net.add(Op.PIXEL_SHUFFLE, [net.x], "shuffle", factor=2, order="crd")
    x = net.add(Op.TRANSPOSE, [x], "turned", perm=(0, 1, 3, 2))
    x = net.add(Op.SLICE, [x], "cut", axes=(2, 3), starts=(1, 0), ends=(11, 8), strides=(2, 1))
    x = net.add(Op.PAD, [x], "pad", pads=(0, 1, 0, 0, 2, 1), value=0.0)
    x = net.add(Op.RESIZE_NEAREST, [x], "bigger", sizes=(16, 18), coordinates="asymmetric",
                nearest_mode="floor")  # fmt: skip
    return net.done(net.conv(x, 3, "conv"))


def combined() -> Graph:
    """Return sums, differences, products, constants and a concatenation."""
    net = Net(4, 3, 5)
    a, b = net.conv(net.x, 4, "a"), net.conv(net.x, 4, "b")
    x = net.add(Op.CONCAT, [a, b], "both", axis=1)
    x = net.add(Op.ADD, [x, net.constant("offset", 8, 1, 1)], "shifted")
    y = net.add(Op.MUL, [x, net.conv(net.x, 8, "c", kernel=1)], "product")
    y = net.add(Op.SUB, [y, x], "difference")
    y = net.add(Op.SCALE_OFFSET, [y, net.constant("gamma", 8), net.constant("beta", 8)], "norm")
    return net.done(y, x)


def products() -> Graph:
    """Return a product of two images and a dense layer over their last axis."""
    net = Net(2, 3, 4)
    x = net.conv(net.x, 2, "conv")
    y = net.add(Op.TRANSPOSE, [x], "turned", perm=(0, 1, 3, 2))
    x = net.add(Op.MATMUL, [x, y], "product")
    return net.done(net.linear(x, 5, "dense"))


NETWORKS: tuple[Callable[[], Graph], ...] = (
    convolutions, transposed_convolutions, pools, activations, flattened, moved, combined,
    products,
)  # fmt: skip
