"""Random float networks: every way in which channels can meet, drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.nn.builder import GraphBuilder


class Drawer:
    """Grows a network of images of one size; every tensor can be met again later."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**20)))
        self.builder = GraphBuilder("random")
        self.tensors = [self.builder.add_input("x", (3, 6, 6))]

    def weights(self, wanted: str, *shape: int) -> str:
        """Add random weights."""
        return self.builder.add_constant(wanted, self.rng.standard_normal(shape).astype("f4"))

    def channels(self, name: str) -> int:
        """Return how many channels a tensor has."""
        return self.builder.shape_of(name)[0]

    def pick(self) -> str:
        """Return a tensor, recent ones more often."""
        return self.tensors[-1 - self.draw(st.integers(0, min(3, len(self.tensors) - 1)))]

    def convolve(self, x: str, out: int, groups: int = 1, kernel: int = 1) -> str:
        """Add a convolution that keeps the size."""
        weights = self.weights("w", out, self.channels(x) // groups, kernel, kernel)
        inputs = [x, weights] + ([self.weights("b", out)] if self.draw(st.booleans()) else [])
        return self.builder.add(Op.CONV, inputs, "conv", groups=groups,
                                pads=(kernel // 2,) * 4)  # fmt: skip

    def grow(self) -> None:
        """Add one step."""
        self.tensors.append(self.draw(st.sampled_from(STEPS))(self, self.pick()))

    def finish(self) -> Graph:
        """Return the network with a head, or with its last tensor as output."""
        last = self.tensors[-1]
        outputs = [last]
        if self.draw(st.booleans()):
            flat = self.builder.add(Op.FLATTEN, [last], "flat")
            size = self.builder.shape_of(flat)[0]
            outputs = [self.builder.add(Op.LINEAR, [flat, self.weights("w", 5, size)], "head")]
        else:
            outputs = [self.convolve(last, 4)]
        return self.builder.finish(outputs)


def dense(net: Drawer, x: str) -> str:
    """A convolution with new channels."""
    kernel = net.draw(st.sampled_from((1, 3)))
    return net.convolve(x, net.draw(st.sampled_from((4, 6, 8, 12))), 1, kernel)


def depthwise(net: Drawer, x: str) -> str:
    """A depthwise convolution, sometimes with a multiplier."""
    count = net.channels(x)
    return net.convolve(x, count * net.draw(st.sampled_from((1, 1, 2))), count, 3)


def grouped(net: Drawer, x: str) -> str:
    """A convolution in two groups."""
    x = x if net.channels(x) % 2 == 0 else net.convolve(x, 4)
    return net.convolve(x, net.draw(st.sampled_from((4, 8))), 2, 3)


def normalized(net: Drawer, x: str) -> str:
    """Batch norm and an activation."""
    count = net.channels(x)
    parameters = [net.weights(n, count) for n in ("gamma", "beta", "mean")]
    variance = net.builder.add_constant("variance", net.rng.uniform(0.5, 2, count).astype("f4"))
    y = net.builder.add(Op.BATCH_NORM, [x, *parameters, variance], "norm", epsilon=1e-5)
    return net.builder.add(net.draw(st.sampled_from((Op.RELU, Op.SIGMOID))), [y], "act")


def meeting(net: Drawer, x: str) -> str:
    """A sum or product with another tensor, brought to as many channels if it has others."""
    y = net.pick()
    if net.channels(y) != net.channels(x):
        y = net.convolve(y, net.channels(x))
    return net.builder.add(net.draw(st.sampled_from((Op.ADD, Op.MUL, Op.SUB))), [x, y], "meet")


def gated(net: Drawer, x: str) -> str:
    """Squeeze and excitation, or one gate for all channels."""
    y = net.builder.add(Op.GLOBAL_AVG_POOL, [x], "pool")
    y = net.convolve(net.convolve(y, 4), net.draw(st.sampled_from((1, net.channels(x)))))
    return net.builder.add(Op.MUL, [x, net.builder.add(Op.SIGMOID, [y], "gate")], "gated")


def joined(net: Drawer, x: str) -> str:
    """A concatenation, sometimes with itself."""
    return net.builder.add(Op.CONCAT, [x, net.pick()], "joined", axis=1)


def parted(net: Drawer, x: str) -> str:
    """A split whose parts meet, or one slice."""
    count = net.channels(x)
    if count % 2 or net.draw(st.booleans()):
        end = net.draw(st.integers(1, count))
        return net.builder.add(Op.SLICE, [x], "piece", axes=(1,), starts=(end // 2,), ends=(end,))
    left, right = net.builder.add_split(x, 1, (count // 2, count // 2), "parts")
    return net.builder.add(Op.ADD, [net.convolve(left, count // 2), right], "again")


def shuffled(net: Drawer, x: str) -> str:
    """Channels in another order: in two groups, or through space and back."""
    count = net.channels(x)
    if count % 2:
        return net.builder.add(Op.PAD, [x], "pad", pads=(0, 0, 0, 1, 0, 0), value=0.0)
    y = net.builder.add(Op.RESHAPE, [x], "view", shape=(2, count // 2, 6, 6))
    y = net.builder.add(Op.TRANSPOSE, [y], "swap", perm=(0, 2, 1, 3, 4))
    return net.builder.add(Op.RESHAPE, [y], "back", shape=(count, 6, 6))


def enlarged(net: Drawer, x: str) -> str:
    """Pixel shuffle and a stride back, or a transposed convolution."""
    if net.channels(x) % 4 == 0:
        y = net.builder.add(Op.PIXEL_SHUFFLE, [x], "pixels", factor=2,
                            order=net.draw(st.sampled_from(("crd", "dcr"))))  # fmt: skip
        return net.builder.add(Op.MAX_POOL, [y], "small", kernel=(2, 2), strides=(2, 2))
    groups = net.draw(st.sampled_from((1, net.channels(x))))
    weights = net.weights("w", net.channels(x), 6 if groups == 1 else 1, 3, 3)
    return net.builder.add(Op.CONV_TRANSPOSE, [x, weights], "up", pads=(1,) * 4, groups=groups)


def shared(net: Drawer, x: str) -> str:
    """One convolution used twice."""
    y = net.convolve(x, net.channels(x), 1, 3)
    node = net.builder.producer(y)
    assert node is not None
    return net.builder.add(Op.CONV, [y, *node.inputs[1:]], "again", pads=(1,) * 4)


Step = Callable[[Drawer, str], str]
STEPS: tuple[Step, ...] = (
    dense, dense, depthwise, grouped, normalized, meeting, meeting, gated, joined, parted,
    shuffled, enlarged, shared,
)  # fmt: skip


@st.composite
def networks(draw: st.DrawFn, max_steps: int = 10) -> Graph:
    """Return a random network over 3 x 6 x 6 images."""
    net = Drawer(draw)
    net.tensors.append(dense(net, "x"))
    for _ in range(draw(st.integers(3, max_steps))):
        net.grow()
    return net.finish()
