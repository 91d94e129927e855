"""Small float networks for the tests of both targets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.nn.builder import GraphBuilder


class Net:
    """Builds a network with random weights, one call per layer."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.builder = GraphBuilder("net")
        self.x = self.builder.add_input("x", shape)

    def constant(self, name: str, values: npt.ArrayLike) -> str:
        """Add a constant."""
        return self.builder.add_constant(name, np.asarray(values, np.float32))

    def conv(self, x: str, out: int, name: str, *, kernel: int = 3, stride: int = 1,
             groups: int = 1, zeros: float = 0.0, bias: float = 0.1) -> str:  # fmt: skip
        """Add a convolution of which a share of the weights is exactly zero."""
        ins = self.builder.shape_of(x)[0] // groups
        values = self.random.normal(size=(out, ins, kernel, kernel)) * (ins * kernel**2) ** -0.5
        values[self.random.random(values.shape) < zeros] = 0.0
        weight = self.constant(f"{name}.weight", values)
        offset = self.constant(f"{name}.bias", self.random.normal(size=out) * bias)
        return self.builder.add(
            Op.CONV, [x, weight, offset], name, strides=(stride, stride), pads=(kernel // 2,) * 4,
            dilations=(1, 1), groups=groups,
        )  # fmt: skip

    def linear(self, x: str, out: int, name: str) -> str:
        """Flatten and add a linear layer."""
        flat = self.builder.add(Op.FLATTEN, [x], f"{name}.flat", start_axis=1)
        ins = self.builder.shape_of(flat)[0]
        weight = self.constant(f"{name}.weight", self.random.normal(size=(out, ins)) * ins**-0.5)
        bias = self.constant(f"{name}.bias", self.random.normal(size=out) * 0.1)
        return self.builder.add(Op.LINEAR, [flat, weight, bias], name)

    def norm(self, x: str, name: str) -> str:
        """Add a batch norm."""
        count = self.builder.shape_of(x)[0]
        values = {
            "gamma": self.random.uniform(0.5, 1.5, count),
            "beta": self.random.normal(size=count) * 0.1,
            "mean": self.random.normal(size=count) * 0.1,
            "variance": self.random.uniform(0.5, 1.5, count),
        }
        names = [self.constant(f"{name}.{key}", value) for key, value in values.items()]
        return self.builder.add(Op.BATCH_NORM, [x, *names], name, epsilon=1e-5)

    def add(self, op: Op, inputs: list[str], name: str, **attributes: object) -> str:
        """Add any other layer."""
        if op is Op.AVG_POOL:
            attributes.setdefault("count_include_pad", False)
        return self.builder.add(op, inputs, name, **attributes)

    def relu(self, x: str) -> str:
        """Add a rectifier."""
        return self.builder.add(Op.RELU, [x], f"{x}.relu")

    def finish(self, *outputs: str) -> Graph:
        """Return the network."""
        return self.builder.finish(list(outputs))


def classifier(seed: int = 0, zeros: float = 0.0) -> Graph:
    """Return conv, pool, residual sum, average, linear layer."""
    net = Net((3, 12, 12), seed)
    stem = net.relu(net.norm(net.conv(net.x, 8, "stem", zeros=zeros), "stem.norm"))
    pool = net.add(Op.MAX_POOL, [stem], "pool", kernel=(2, 2), strides=(2, 2), pads=(0,) * 4)
    branch = net.conv(net.relu(net.conv(pool, 8, "a", zeros=zeros)), 8, "b", zeros=zeros)
    joined = net.relu(net.add(Op.ADD, [branch, pool], "join"))
    mean = net.add(Op.GLOBAL_AVG_POOL, [joined], "mean")
    return net.finish(net.linear(mean, 5, "head"))


def samples(graph: Graph, count: int = 8, seed: int = 1) -> npt.NDArray[np.float32]:
    """Return inputs between -1 and 1."""
    shape = graph.shapes[graph.inputs[0]]
    return np.random.default_rng(seed).uniform(-1, 1, (count, *shape)).astype(np.float32)
