"""Small float networks and target arithmetics for the quantizer's tests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nibblefit.fixed.formats import Accumulator, Rounding
from nibblefit.ir.graph import Graph
from nibblefit.ir.numerics import (
    BiasRule,
    Fusion,
    Numerics,
    Requantization,
    RequantRule,
    ScaleKind,
    Signedness,
    TensorRule,
)
from nibblefit.ir.ops import Op
from nibblefit.nn.builder import GraphBuilder


class Net:
    """Builds a network with random weights, one call per layer."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.builder = GraphBuilder("net")
        self.x = self.builder.add_input("x", shape)

    def constant(self, name: str, *shape: int, scale: float = 1.0) -> str:
        return self.builder.add_constant(name, self.random.normal(size=shape) * scale)

    def conv(self, x: str, out: int, name: str, *, kernel: int = 3, stride: int = 1,
             groups: int = 1) -> str:  # fmt: skip
        ins = self.builder.shape_of(x)[0] // groups
        shape = (out, ins, kernel, kernel)
        weight = self.constant(f"{name}.weight", *shape, scale=(ins * kernel**2) ** -0.5)
        bias = self.constant(f"{name}.bias", out, scale=0.1)
        pads = (kernel // 2,) * 4
        return self.builder.add(Op.CONV, [x, weight, bias], name, strides=(stride, stride),
                                pads=pads, dilations=(1, 1), groups=groups)  # fmt: skip

    def norm(self, x: str, name: str) -> str:
        count = self.builder.shape_of(x)[0]
        values = {
            "gamma": self.random.uniform(0.5, 1.5, count),
            "beta": self.random.normal(size=count) * 0.1,
            "mean": self.random.normal(size=count) * 0.1,
            "variance": self.random.uniform(0.5, 1.5, count),
        }
        names = [self.builder.add_constant(f"{name}.{k}", v) for k, v in values.items()]
        return self.builder.add(Op.BATCH_NORM, [x, *names], name, epsilon=1e-5)

    def add(self, op: Op, inputs: list[str], name: str, **attributes: object) -> str:
        return self.builder.add(op, inputs, name, **attributes)


def everything(seed: int = 0) -> Graph:
    """Return a network that uses nearly every float operator once."""
    net = Net((3, 8, 8), seed)
    y = net.add(Op.RELU, [net.norm(net.conv(net.x, 8, "c1"), "bn1")], "r1")
    z = net.norm(net.conv(y, 8, "c2"), "bn2")
    y = net.add(Op.RELU, [net.add(Op.ADD, [y, z], "add")], "r2")
    y = net.norm(net.add(Op.MAX_POOL, [y], "mp", kernel=(3, 3), strides=(1, 1), pads=(1, 1, 1, 1),
                         dilations=(1, 1), ceil_mode=False), "bn3")  # fmt: skip
    y = net.add(Op.AVG_POOL, [y], "ap", kernel=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1),
                dilations=(1, 1), ceil_mode=False, count_include_pad=False)  # fmt: skip
    slope = net.builder.add_constant("pr.slope", net.random.uniform(0, 0.5, 8))
    parts = [
        net.add(Op.HARD_SWISH, [y], "hs"),
        net.add(Op.LEAKY_RELU, [y], "lr", slope=0.1),
        net.add(Op.PRELU, [y, slope], "pr"),
        net.add(Op.TANH, [y], "th"),
        net.add(Op.HARD_SIGMOID, [y], "hg", alpha=1 / 6, beta=0.5),
    ]
    y = net.add(Op.CONCAT, parts, "cat", axis=1)
    y = net.add(Op.RESIZE_BILINEAR, [y], "up", sizes=(6, 6), coordinates="half_pixel")
    y = net.add(Op.CLIP, [net.conv(y, 8, "c3", groups=4)], "r6", lo=0.0, hi=6.0)
    offset = net.builder.add_constant("k:fixed", [[[0.3]]])
    y = net.add(Op.MUL, [net.add(Op.SUB, [y, offset], "sub"), y], "mul")
    y = net.add(Op.PAD, [net.add(Op.ABS, [y], "abs")], "pad", pads=(0, 1, 0, 0, 0, 1), value=0.5)
    small, large = net.builder.add_split(y, 1, (4, 4), "split")
    large = net.add(Op.PIXEL_SHUFFLE, [large], "ps", factor=2, order="crd")
    large = net.add(Op.RESIZE_NEAREST, [net.add(Op.SIGMOID, [large], "sg")], "near", sizes=(28, 28),
                    coordinates="asymmetric", nearest_mode="floor")  # fmt: skip
    flat = net.add(Op.FLATTEN, [net.add(Op.GLOBAL_AVG_POOL, [large], "gap")], "fl", start_axis=1)
    flat = net.add(Op.RELU, [flat], "r3")
    logits = net.add(Op.LINEAR, [flat, net.constant("fc.weight", 5, 1)], "fc")
    soft = net.add(Op.SOFTMAX, [logits], "sm", axis=1)
    return net.builder.finish([soft, small, logits])


def sequences(seed: int = 0) -> Graph:
    """Return a network of the operators that `everything` leaves out: products, turns, cuts."""
    net = Net((3, 8, 8), seed)
    up = net.constant("up.weight", 3, 4, 2, 2, scale=0.5)
    y = net.add(Op.CONV_TRANSPOSE, [net.x, up, net.constant("up.bias", 4)], "up", strides=(2, 2),
                pads=(0, 0, 1, 1), dilations=(1, 1), groups=1, output_padding=(1, 1))  # fmt: skip
    y = net.add(Op.SLICE, [y], "cut", axes=(2, 3), starts=(0, 1), ends=(16, 16), strides=(2, 3))
    rows = net.add(Op.RESHAPE, [y], "rows", shape=(8, 20))
    weights, bias = net.constant("key.weight", 6, 20, scale=0.2), net.constant("key.bias", 6)
    key = net.add(Op.RELU, [net.add(Op.LINEAR, [rows, weights, bias], "key")], "key_relu")
    plain = net.add(Op.LINEAR, [rows, net.constant("query.weight", 6, 20, scale=0.2)], "query")
    turned = net.add(Op.TRANSPOSE, [key], "turned", perm=(0, 2, 1))
    scores = net.add(Op.MATMUL, [plain, turned], "scores")
    soft = net.add(Op.SOFTMAX, [scores], "soft", axis=2)
    mixed = net.add(Op.MATMUL, [soft, key], "mixed")
    grid = net.add(Op.RESHAPE, [mixed], "grid", shape=(8, 2, 3))
    peak = net.add(Op.GLOBAL_MAX_POOL, [grid], "peak")
    scaled = net.add(Op.MUL, [grid, peak], "scaled")
    shuffled = net.add(Op.PIXEL_SHUFFLE, [scaled], "shuffled", factor=2, order="dcr")
    best = net.add(Op.ARGMAX, [shuffled], "best", axis=1, keepdims=True)
    return net.builder.finish([shuffled, best])


def inputs(count: int, shape: tuple[int, ...], seed: int = 1) -> npt.NDArray[np.float32]:
    """Return normal random inputs."""
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


_BY_RANGE = TensorRule(signedness=Signedness.BY_RANGE)
_REAL = TensorRule(scale=ScaleKind.REAL)
_ASYMMETRIC = TensorRule(symmetric=False, scale=ScaleKind.REAL)
_CHANNELS = TensorRule(scale=ScaleKind.REAL, per_channel=True, narrow=True)
FUSIONS = (
    Fusion("conv + max pool + leaky", (Op.CONV, Op.MAX_POOL, Op.LEAKY_RELU), frozenset({1})),
    Fusion("conv + add + relu", (Op.CONV, Op.ADD, Op.RELU), frozenset({2})),
    Fusion("max pool + conv", (Op.MAX_POOL, Op.CONV)),
    *(Fusion(f"{head} + {tail}", (head, tail))
      for head in (Op.CONV, Op.LINEAR, Op.ADD) for tail in (Op.RELU, Op.CLIP, Op.HARD_SWISH)),
)  # fmt: skip

#: Arithmetics that differ in every rule the quantizer follows.
ARITHMETICS: dict[str, Numerics] = {
    "shift": Numerics(inputs=_BY_RANGE, activations=_BY_RANGE, fusions=FUSIONS),
    "shift, per channel": Numerics(weights=TensorRule(per_channel=True), fusions=FUSIONS),
    "narrow bias": Numerics(bias=BiasRule(8)),
    "bias × 128, 4-bit weights, pools keep": Numerics(
        bias=BiasRule(8, 7), weights=TensorRule((4,)), pooling_keeps_format=True,
        pooling=Rounding.TOWARD_ZERO, fusions=FUSIONS,
    ),
    "multiply and shift, zero points": Numerics(
        inputs=_ASYMMETRIC, activations=_ASYMMETRIC, weights=_CHANNELS, fusions=FUSIONS,
        requant=RequantRule(Requantization.MULTIPLY_SHIFT, multiplier_bits=31),
    ),
    "float32": Numerics(
        inputs=_REAL, activations=_REAL, weights=_CHANNELS,
        requant=RequantRule(Requantization.FLOAT32, Rounding.HALF_EVEN),
    ),
    "unsigned weights with offset": Numerics(
        inputs=_REAL, activations=TensorRule(scale=ScaleKind.REAL, signedness=Signedness.BY_RANGE),
        weights=TensorRule(scale=ScaleKind.REAL, symmetric=False, per_channel=True,
                           signedness=Signedness.UNSIGNED),
        requant=RequantRule(Requantization.FLOAT32, Rounding.HALF_EVEN), fusions=FUSIONS,
    ),
    "16 bits": Numerics(
        inputs=TensorRule((16,)), activations=TensorRule((16,)), accumulator=Accumulator(48),
        bias=BiasRule(32), requant=RequantRule(shift_range=(-31, 47)),
    ),
}  # fmt: skip
