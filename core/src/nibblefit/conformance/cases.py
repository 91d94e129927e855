"""Tiny float networks from which checks are made: one per operator a target declares, plus chains.

Networks are built as canonical graphs, without torch, from a seed. Values are chosen so that
quantization has something to do: signed inputs, biases, channels of different magnitude.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nibblefit.ir.graph import Graph, Node, Shape, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.shapes import infer_shapes


@dataclass
class Sketch:
    """Builds a graph node by node; shapes follow from the operators."""

    name: str
    input_shape: Shape
    seed: int = 0
    nodes: list[Node] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    constants: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shapes["input"] = self.input_shape
        self.random = np.random.default_rng(self.seed)

    def constant(self, name: str, shape: Shape, spread: float) -> str:
        """Add a random constant, uniform in ±spread, rising along the first axis."""
        values = self.random.uniform(-spread, spread, shape)
        loudness = np.linspace(0.5, 1.0, shape[0]).reshape(-1, *(1,) * (len(shape) - 1))
        self.constants[name] = np.asarray(values * loudness, np.float32)
        return name

    def add(self, op: Op, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Append a node and return the name of its (first) output."""
        name = name or f"{op.value}{len(self.nodes)}"
        shapes = [
            self.shapes[i] if i in self.shapes else tuple(self.constants[i].shape) for i in inputs
        ]
        made = infer_shapes(op, attributes, shapes)
        outputs = (name,) if len(made) == 1 else tuple(f"{name}.{i}" for i in range(len(made)))
        self.shapes.update(zip(outputs, made, strict=True))
        self.nodes.append(Node(name, op, inputs, outputs, frozen_mapping(attributes), name))
        return outputs[0]

    def conv(self, x: str, channels: int, *, kernel: int = 3, pad: int = 1, name: str = "") -> str:
        """Append a square convolution of stride 1 with a bias."""
        name = name or f"conv{len(self.nodes)}"
        inputs, *spatial = self.shapes[x]
        rank = len(spatial)
        spread = 1.0 / np.sqrt(inputs * kernel**rank)
        weights = self.constant(f"{name}.weight", (channels, inputs, *(kernel,) * rank), spread)
        bias = self.constant(f"{name}.bias", (channels,), 0.1)
        return self.add(
            Op.CONV, x, weights, bias, name=name,
            strides=(1,) * rank, pads=(pad,) * (2 * rank), dilations=(1,) * rank, groups=1,
        )  # fmt: skip

    def pool(self, x: str, op: Op = Op.MAX_POOL, *, name: str = "") -> str:
        """Append a 2×2 pool of stride 2."""
        rank = len(self.shapes[x]) - 1
        attributes: dict[str, Any] = {
            "kernel": (2,) * rank, "strides": (2,) * rank, "pads": (0,) * (2 * rank),
            "dilations": (1,) * rank, "ceil_mode": False,
        }  # fmt: skip
        if op is Op.AVG_POOL:
            attributes["count_include_pad"] = True
        return self.add(op, x, name=name, **attributes)

    def linear(self, x: str, features: int, *, name: str = "") -> str:
        """Append a flatten (where needed) and a fully connected layer with a bias."""
        name = name or f"linear{len(self.nodes)}"
        if len(self.shapes[x]) > 1:
            x = self.add(Op.FLATTEN, x, name=f"{name}.flatten", start_axis=1)
        (inputs,) = self.shapes[x]
        weights = self.constant(f"{name}.weight", (features, inputs), 1.0 / np.sqrt(inputs))
        bias = self.constant(f"{name}.bias", (features,), 0.1)
        return self.add(Op.LINEAR, x, weights, bias, name=name)

    def graph(self, *outputs: str) -> Graph:
        """Return the finished graph."""
        for value in self.constants.values():
            value.flags.writeable = False
        return Graph(self.name, ("input",), outputs, tuple(self.nodes),
                     frozen_mapping(self.shapes), frozen_mapping(self.constants))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """A tiny network and the operators it needs."""

    name: str
    graph: Graph

    @property
    def operators(self) -> frozenset[Op]:
        """Operators that do arithmetic; reshaping ones are taken for granted."""
        return frozenset(n.op for n in self.graph.nodes) - {Op.FLATTEN}


def _classifier(name: str, middle: Op | None, shape: Shape, seed: int) -> Graph:
    """Convolution, an operator under test, pool where it fits, classifier."""
    sketch = Sketch(name, shape, seed)
    x = sketch.conv("input", 4, name="stem")
    if middle is not None:
        x = _append(sketch, middle, x)
    return sketch.graph(sketch.linear(x, 5, name="head"))


def _append(sketch: Sketch, op: Op, x: str) -> str:
    """Append one operator in its simplest form."""
    if op in {Op.MAX_POOL, Op.AVG_POOL}:
        return sketch.pool(x, op, name="pool")
    if op in {Op.ADD, Op.SUB, Op.MUL}:
        other = sketch.conv("input", sketch.shapes[x][0], name="branch")
        return sketch.add(op, x, other, name="join")
    if op is Op.CONCAT:
        other = sketch.conv("input", sketch.shapes[x][0], name="branch")
        return sketch.add(op, x, other, name="join", axis=1)
    attributes: Mapping[Op, dict[str, Any]] = {
        Op.CLIP: {"lo": 0.0, "hi": 6.0},
        Op.LEAKY_RELU: {"slope": 0.1},
        Op.HARD_SIGMOID: {"alpha": 1 / 6, "beta": 0.5},
        Op.SOFTMAX: {"axis": 1},
    }
    return sketch.add(op, x, name=str(op.value), **attributes.get(op, {}))


#: Operators that get a network of their own, in the simplest geometry every chip has.
_MIDDLES = (
    Op.RELU, Op.CLIP, Op.LEAKY_RELU, Op.ABS, Op.SIGMOID, Op.TANH, Op.HARD_SIGMOID, Op.HARD_SWISH,
    Op.MAX_POOL, Op.AVG_POOL, Op.GLOBAL_AVG_POOL, Op.GLOBAL_MAX_POOL,
    Op.ADD, Op.SUB, Op.MUL, Op.CONCAT,
)  # fmt: skip


#: Operators that a host may compute behind the network. Not argmax: where two scores are nearly
#: equal it rightly differs from the float network's.
_TAILS = (Op.SOFTMAX, Op.SIGMOID, Op.TANH)


def _tailed(op: Op, seed: int) -> Graph:
    """Convolution, classifier, and one operator on its scores."""
    sketch = Sketch(f"tail {op.value}", (3, 6, 6), seed)
    scores = sketch.linear(sketch.conv("input", 4, name="stem"), 5, name="head")
    attributes: dict[str, Any] = {"axis": 1} if op is Op.SOFTMAX else {}
    return sketch.graph(sketch.add(op, scores, name=str(op.value), **attributes))


def _chain(seed: int) -> Graph:
    """Two convolutions with rectifier and pool between them, then a classifier."""
    sketch = Sketch("chain", (3, 8, 8), seed)
    x = sketch.add(Op.RELU, sketch.conv("input", 6, name="first"), name="first.relu")
    x = sketch.pool(x, name="pool")
    x = sketch.add(Op.RELU, sketch.conv(x, 8, name="second"), name="second.relu")
    return sketch.graph(sketch.linear(x, 4, name="head"))


def _residual(seed: int) -> Graph:
    """A block with an identity shortcut."""
    sketch = Sketch("residual", (4, 6, 6), seed)
    x = sketch.add(Op.RELU, sketch.conv("input", 4, name="stem"), name="stem.relu")
    y = sketch.add(Op.RELU, sketch.conv(x, 4, name="block.a"), name="block.a.relu")
    y = sketch.conv(y, 4, name="block.b")
    x = sketch.add(Op.RELU, sketch.add(Op.ADD, x, y, name="block.add"), name="block.relu")
    return sketch.graph(sketch.linear(x, 3, name="head"))


def all_cases() -> list[Case]:
    """Return every case, simplest first, in a stable order."""
    cases = [Case("plain", _classifier("plain", None, (3, 6, 6), 1)), Case("chain", _chain(2))]
    for seed, op in enumerate(_MIDDLES, start=10):
        cases.append(Case(op.value, _classifier(op.value, op, (3, 6, 6), seed)))
    cases.append(Case("residual", _residual(3)))
    return cases


def cases_for(operators: frozenset[Op], host_operators: frozenset[Op] = frozenset()) -> list[Case]:
    """Return the cases a target claims to run.

    Args:
        operators: What its accelerator runs, anywhere in a network.
        host_operators: What its host computes; those that the accelerator lacks stand last.
    """
    found = [case for case in all_cases() if case.operators <= operators]
    for seed, op in enumerate(_TAILS, start=50):
        if op in host_operators - operators:
            found.append(Case(f"tail {op.value}", _tailed(op, seed)))
    return found


def unsupported_case(operators: frozenset[Op]) -> Case | None:
    """Return a network with one operator the target does not declare, or None."""
    for op in (Op.TANH, Op.HARD_SWISH, Op.SIGMOID, Op.LEAKY_RELU, Op.CONCAT, Op.MUL, Op.SUB):
        if op not in operators:
            return Case(f"refuses {op.value}", _classifier(op.value, op, (3, 6, 6), 77))
    return None
