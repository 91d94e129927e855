"""A random quantized graph under construction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from nibblefit.conformance.random_steps import fill, formats, step_tuples
from nibblefit.fixed.formats import Accumulator, Format, IntArray, Overflow
from nibblefit.fixed.steps import Steps
from nibblefit.ir.graph import Shape, frozen_mapping
from nibblefit.ir.ops import MOVERS, Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode, QuantizedTensor
from nibblefit.ir.shapes import infer_shapes

#: Largest number of values in one image of any tensor.
_LARGEST = 1 << 11


@dataclass
class Builder:
    """A graph under construction; every method keeps it legal."""

    draw: st.DrawFn
    random: np.random.Generator
    inputs: list[str] = field(default_factory=list)
    tensors: dict[str, QuantizedTensor] = field(default_factory=dict)
    constants: dict[str, IntArray] = field(default_factory=dict)
    nodes: list[QuantizedNode] = field(default_factory=list)
    states: dict[str, IntArray] = field(default_factory=dict)

    def activations(self) -> list[str]:
        """Return the tensors that a node may read."""
        return [name for name in self.tensors if name not in self.constants]

    def shape(self, name: str) -> Shape:
        """Return the batch-free shape of a tensor."""
        return self.tensors[name].shape

    def number(self, name: str) -> Format:
        """Return the format of a tensor."""
        return self.tensors[name].format

    def input(self, shape: Shape) -> str:
        """Add an input."""
        name = f"x{len(self.inputs)}"
        self.inputs.append(name)
        self.tensors[name] = QuantizedTensor(name, shape, self.draw(formats()))
        return name

    def constant(self, shape: Shape, number: Format) -> str:
        """Add a constant filled with random codes of a format."""
        name = f"c{len(self.constants)}"
        values = fill(number, shape, self.draw(st.sampled_from(("random", "ends"))), self.random)
        return self.keep(name, values, number)

    def keep(self, name: str, values: IntArray, number: Format) -> str:
        """Add a constant with given values."""
        values = np.array(values, dtype=np.int64)
        values.flags.writeable = False
        self.constants[name] = values
        self.tensors[name] = QuantizedTensor(name, values.shape, number)
        return name

    def add(
        self, op: Op, inputs: tuple[str, ...], attributes: Mapping[str, Any] | None = None, *,
        shift: int = 8, input_steps: tuple[Steps, ...] = (), result: Format | None = None,
        steps: Steps | None = None,
    ) -> str:  # fmt: skip
        """Append a node whose steps bring its result into a random (or the given) format."""
        name, attributes = f"n{len(self.nodes)}", attributes or {}
        shapes = infer_shapes(op, attributes, [self.shape(i) for i in inputs])
        number = result or self.draw(formats())
        accumulator = self._accumulator() if steps is None and op not in MOVERS else None
        if steps is None:
            steps = self.draw(step_tuples(number, channel_parameters(shapes[0], op), shift))
        outputs = (name,) if len(shapes) == 1 else tuple(f"{name}.{i}" for i in range(len(shapes)))
        self.nodes.append(QuantizedNode(name, op, inputs, outputs, frozen_mapping(attributes),
                                        input_steps, steps, accumulator))  # fmt: skip
        for output, shape in zip(outputs, shapes, strict=True):
            self.tensors[output] = QuantizedTensor(output, shape, number)
        return outputs[0]

    def _accumulator(self) -> Accumulator | None:
        kind = self.draw(st.sampled_from((None, None, None, *Overflow)))
        if kind is None:
            return None
        # A forbidden overflow must be impossible: no sum here needs 62 bits.
        bits = 62 if kind is Overflow.FORBID else self.draw(st.integers(6, 40))
        return Accumulator(bits, kind)

    def graph(self) -> QuantizedGraph:
        """Return the graph; unread tensors are outputs, and sometimes one that is read."""
        read = {name for node in self.nodes for name in node.inputs}
        made = [name for node in self.nodes for name in node.outputs]
        outputs = [name for name in made if name not in read]
        if self.draw(st.booleans()):
            outputs.append(self.draw(st.sampled_from(made)))
        return QuantizedGraph(
            "random", "random", tuple(self.inputs), tuple(dict.fromkeys(outputs)),
            tuple(self.nodes), frozen_mapping(self.tensors), frozen_mapping(self.constants),
            frozen_mapping(self.states),
        )  # fmt: skip


def channel_parameters(shape: Shape, op: Op) -> Shape:
    """Return the shape of per-channel step parameters; empty if there are no channels."""
    if not shape:
        return ()
    return (shape[-1],) if op is Op.LINEAR else (shape[0], *(1,) * (len(shape) - 1))
