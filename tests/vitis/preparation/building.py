"""Float networks for the tests of preparation: random chains, and single layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.nn.builder import GraphBuilder


class Building:
    """Builds a network with random weights, one call per layer."""

    def __init__(self, shape: tuple[int, ...] = (4, 8, 8), seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.builder = GraphBuilder("net")
        self.x = self.builder.add_input("x", shape)

    def conv(self, x: str, out: int, name: str, *, kernel: int = 3, groups: int = 1,
             transposed: bool = False, bias: bool = True, spread: float = 1.0) -> str:  # fmt: skip
        """Add a convolution whose output channels differ in size by up to e**spread."""
        ins = self.builder.shape_of(x)[0]
        lead = (ins, out // groups) if transposed else (out, ins // groups)
        values = self.random.normal(size=(*lead, kernel, kernel))
        values *= np.exp(self.random.uniform(-spread, spread, (*lead[:1], 1, 1, 1)))
        inputs = [x, self.constant(f"{name}.weight", values)]
        if bias:
            inputs.append(self.constant(f"{name}.bias", self.random.normal(size=out)))
        pads = (kernel // 2,) * 4
        return self.builder.add(
            Op.CONV_TRANSPOSE if transposed else Op.CONV, inputs, name, strides=(1, 1), pads=pads,
            dilations=(1, 1), groups=groups,
        )  # fmt: skip

    def norm(self, x: str, name: str) -> str:
        """Add a batch norm with uneven statistics."""
        count = self.builder.shape_of(x)[0]
        values = {
            "weight": self.random.uniform(0.5, 1.5, count), "bias": self.random.normal(size=count),
            "mean": self.random.normal(size=count), "var": self.random.uniform(0.5, 1.5, count),
        }  # fmt: skip
        names = [self.constant(f"{name}.{key}", value) for key, value in values.items()]
        return self.builder.add(Op.BATCH_NORM, [x, *names], name, epsilon=1e-5)

    def linear(self, x: str, out: int, name: str) -> str:
        """Flatten and add a dense layer."""
        flat = self.builder.add(Op.FLATTEN, [x], f"{name}.flat", start_axis=1)
        ins = self.builder.shape_of(flat)[0]
        weight = self.constant(f"{name}.weight", self.random.normal(size=(out, ins)) * ins**-0.5)
        bias = self.constant(f"{name}.bias", self.random.normal(size=out))
        return self.builder.add(Op.LINEAR, [flat, weight, bias], name)

    def pool(self, x: str, name: str, op: Op = Op.MAX_POOL) -> str:
        """Add a pool over 2 × 2 values."""
        more = {"count_include_pad": True} if op is Op.AVG_POOL else {}
        return self.builder.add(op, [x], name, kernel=(2, 2), strides=(2, 2), pads=(0,) * 4,
                                dilations=(1, 1), ceil_mode=False, **more)  # fmt: skip

    def relu6(self, x: str, name: str) -> str:
        """Add a clip to [0, 6]."""
        return self.builder.add(Op.CLIP, [x], name, lo=0.0, hi=6.0)

    def add(self, op: Op, inputs: Sequence[str], name: str, **attributes: object) -> str:
        """Add any other layer."""
        return self.builder.add(op, inputs, name, **attributes)

    def constant(self, name: str, values: npt.ArrayLike) -> str:
        """Add a constant, float32."""
        return self.builder.add_constant(name, np.asarray(values, np.float32))

    def finish(self, *outputs: str) -> Graph:
        """Return the network."""
        return self.builder.finish(list(outputs))


def doubled(graph: Graph) -> Graph:
    """Return the graph with float64 constants, in which rewrites are exact."""
    return graph.with_constants({n: c.astype(np.float64) for n, c in graph.constants.items()})


def case_small(shared: Path) -> Graph:
    """Return the vendor's small network from its trained weights, with batch norms.

    The float ONNX file beside them has the norms folded already, by another tool.
    """
    net = Building((3, 32, 32))
    with np.load(shared / "vendor/vitis/case_small/float_weights.npz") as weights:
        given = {name: net.constant(name, weights[name]) for name in weights.files}

    def conv(x: str, name: str, **more: object) -> str:
        inputs = [x, *(given[n] for n in (f"{name}.weight", f"{name}.bias") if n in given)]
        geometry = {"strides": (1, 1), "pads": (0,) * 4, "dilations": (1, 1), "groups": 1}
        return net.add(Op.CONV, inputs, name, **{**geometry, **more})

    def norm(x: str, name: str) -> str:
        keys = ("weight", "bias", "running_mean", "running_var")
        return net.add(Op.BATCH_NORM, [x, *(given[f"{name}.{k}"] for k in keys)], name,
                       epsilon=1e-5)  # fmt: skip

    x = norm(conv(net.x, "conv1", strides=(2, 2), pads=(1,) * 4), "bn1")
    x = norm(conv(net.relu6(x, "act1"), "dw", pads=(1,) * 4, groups=16), "bn2")
    x = net.add(Op.LEAKY_RELU, [conv(net.add(Op.RELU, [x], "act2"), "pw")], "act3", slope=26 / 256)
    x = net.add(Op.CONCAT, [conv(x, "b1", pads=(1,) * 4), conv(x, "b2")], "cat", axis=1)
    x = net.add(Op.HARD_SWISH, [net.pool(x, "pool")], "hs")
    x = net.add(Op.AVG_POOL, [x], "avg", kernel=(7, 7), strides=(7, 7), pads=(0,) * 4,
                dilations=(1, 1), ceil_mode=False, count_include_pad=True)  # fmt: skip
    x = net.add(Op.FLATTEN, [x], "flat", start_axis=1)
    return net.finish(net.add(Op.LINEAR, [x, given["fc.weight"], given["fc.bias"]], "fc"))
