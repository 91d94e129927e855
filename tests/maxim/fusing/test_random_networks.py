"""Random networks over the whole operator set: fused floats equal, integers agree."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings
from tests.maxim.agreement import agree

from nibblefit.conformance.cases import Sketch
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.models import Model
from nibblefit_maxim.folding import fold_model
from nibblefit_maxim.fusing.fuser import fuse
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import MAX78000, MAX78002

JOINS = (Op.ADD, Op.SUB, Op.OR, Op.XOR)


class _Grower:
    """Adds drawn operators to a sketch; tensors of every shape so far may be read again."""

    def __init__(self, draw: st.DrawFn, rank: int, depthwise: bool) -> None:
        self.draw, self.depthwise = draw, depthwise
        sides = tuple(draw(st.integers(4, 9)) for _ in range(rank))
        self.sketch = Sketch("random", (draw(st.integers(1, 3)), *sides), draw(st.integers(0, 99)))
        self.rank = rank
        self.tensors = ["input"]

    def grow(self, steps: int) -> Graph:
        """Return a network of about `steps` operators with one to three outputs."""
        for _ in range(steps):
            names = ["conv", "conv", "relu", "pool", "join", "concat", "norm", "up"]
            getattr(self, f"_{self.draw(st.sampled_from(names))}")()
        tail = self.draw(st.sampled_from(["none", "linear", "softmax"]))
        if tail != "none":
            scores = self.sketch.linear(self.tensors[-1], 3, name="head")
            self.tensors.append(scores)
            if tail == "softmax":
                self.tensors.append(self.sketch.add(Op.SOFTMAX, scores, name="softmax", axis=1))
        count = self.draw(st.integers(1, 3))
        outputs = dict.fromkeys([self.tensors[-1], *self.tensors[1:][-count:-1]])
        return self.sketch.graph(*[name for name in outputs if name != "input"])

    def _pick(self) -> str:
        return self.draw(st.sampled_from(self.tensors[-3:]))

    def _keep(self, name: str) -> None:
        self.tensors.append(name)

    def _conv(self) -> None:
        x, draw, rank = self._pick(), self.draw, self.rank
        channels, *sides = self.sketch.shapes[x]
        taps = draw(st.integers(1, min(5, *sides)))
        grouped = self.depthwise and channels > 1 and draw(st.booleans())
        out = channels if grouped else draw(st.sampled_from([1, 4, 5, 68]))
        # Kernels of an even size are padded on one side only, so that sizes stay.
        low = draw(st.sampled_from([taps // 2, (taps - 1) // 2])) if taps % 2 == 0 else taps // 2
        high = taps - 1 - low
        if taps % 2 and draw(st.booleans()):
            low = high = 0
        name = f"conv{len(self.sketch.nodes)}"
        spread = 1.0 / np.sqrt(channels * taps**rank)
        shape = (out, 1 if grouped else channels, *(taps,) * rank)
        weights = self.sketch.constant(f"{name}.weight", shape, spread)
        inputs = [x, weights]
        if draw(st.booleans()):
            inputs.append(self.sketch.constant(f"{name}.bias", (out,), 0.1))
        stride = draw(st.sampled_from([1, 1, 2]))
        self._keep(self.sketch.add(
            Op.CONV, *inputs, name=name, strides=(stride,) * rank,
            pads=(low,) * rank + (high,) * rank, dilations=(1,) * rank,
            groups=channels if grouped else 1,
        ))  # fmt: skip

    def _relu(self) -> None:
        op = self.draw(st.sampled_from([Op.RELU, Op.RELU, Op.ABS]))
        self._keep(self.sketch.add(op, self._pick()))

    def _pool(self) -> None:
        x = self._pick()
        sides = self.sketch.shapes[x][1:]
        window = tuple(self.draw(st.integers(1, min(side, 3))) for side in sides)
        op = self.draw(st.sampled_from([Op.MAX_POOL, Op.AVG_POOL]))
        extra = {"count_include_pad": True} if op is Op.AVG_POOL else {}
        self._keep(self.sketch.add(
            op, x, kernel=window, strides=(self.draw(st.integers(1, 3)),) * self.rank,
            pads=(0,) * 2 * self.rank, dilations=(1,) * self.rank, ceil_mode=False, **extra,
        ))  # fmt: skip

    def _join(self) -> None:
        x = self._pick()
        shape = self.sketch.shapes[x]
        alike = [name for name in self.tensors if self.sketch.shapes[name] == shape]
        others = [self.draw(st.sampled_from(alike)) for _ in range(self.draw(st.integers(1, 3)))]
        self._keep(self.sketch.add(self.draw(st.sampled_from(JOINS)), x, *others))

    def _concat(self) -> None:
        x = self._pick()
        sides = self.sketch.shapes[x][1:]
        alike = [name for name in self.tensors if self.sketch.shapes[name][1:] == sides]
        other = self.draw(st.sampled_from(alike))
        if self.sketch.shapes[x][0] + self.sketch.shapes[other][0] <= 140:
            self._keep(self.sketch.add(Op.CONCAT, x, other, axis=1))

    def _norm(self) -> None:
        x = self._pick()
        name, channels = f"norm{len(self.sketch.nodes)}", self.sketch.shapes[x][0]
        random = self.sketch.random
        values = [random.uniform(*span, channels).astype(np.float32)
                  for span in ((0.5, 1.5), (-0.3, 0.3), (-0.3, 0.3), (0.5, 1.5))]  # fmt: skip
        names = [f"{name}.{i}" for i in range(4)]
        self.sketch.constants.update(zip(names, values, strict=True))
        self._keep(self.sketch.add(Op.BATCH_NORM, x, *names, name=name, epsilon=1e-5))

    def _up(self) -> None:
        x = self._pick()
        channels, *sides = self.sketch.shapes[x]
        if self.rank != 2 or max(sides) > 9:
            return
        name, taps = f"up{len(self.sketch.nodes)}", self.draw(st.sampled_from([2, 3]))
        weights = self.sketch.constant(f"{name}.weight", (channels, 4, taps, taps), 0.3)
        pad = taps - 2
        self._keep(self.sketch.add(
            Op.CONV_TRANSPOSE, x, weights, name=name, strides=(2, 2), pads=(pad,) * 4,
            dilations=(1, 1), groups=1, output_padding=(pad, pad),
        ))  # fmt: skip


@st.composite
def networks(draw: st.DrawFn, depthwise: bool) -> Graph:
    """Draw a float network that every part should run."""
    return _Grower(draw, draw(st.sampled_from([1, 2, 2])), depthwise).grow(draw(st.integers(1, 7)))


@settings(deadline=None)
@given(st.data(), st.booleans(), st.sampled_from([8, 4, 2, 1]))
def test_random_network_agrees_everywhere(data: st.DataObject, newer: bool, bits: int) -> None:
    """Fused equals float, and judge, engine, training and the relowered graph agree."""
    part = MAX78002 if newer else MAX78000
    graph = data.draw(networks(newer))
    if not graph.outputs:
        return
    refusals = fuse(graph, part).refusals
    known = ("longer on the hardware", "held as", "cannot pad")
    assert all(any(words in r.reason for words in known) for r in refusals)
    if refusals:
        return
    overrides = {}
    if newer and data.draw(st.booleans()):
        # Layers without zeros among their weights may be binary.
        layers = fuse(fold_model(Model(graph)).graph, part).layers
        overrides = {
            layer.name: {"weight_bits": "binary"}
            for layer in layers
            if layer.weight and (layer.embedding is None or not layer.embedding.has_zeros)
        }
    options = MaximOptions(weight_bits=bits)
    agree(graph, graph.shapes["input"], part=part, options=options, overrides=overrides)
