"""The quantized graph: integers, and every decision about bits written as data.

A node computes its operator's exact integer result and nothing else:

1. each input goes through its own `input_steps` (subtract a zero point, align by a shift, scale a
   bias by 128);
2. the operator runs in exact integer arithmetic (average pools *sum*; dividing is a step);
3. the result must fit `accumulator`, if one is declared;
4. the result goes through `steps` (shift, multiply, saturate, rectify, offset).

So two executions agree exactly when they follow this file, and a target's numerics can be read
off the graph. The judge is `nibblefit.ir.reference`, the fast engine `nibblefit.engine`.

Operators that differ from their float namesakes:

* AVG_POOL, GLOBAL_AVG_POOL: the sum over the window; padding adds zeros (after input steps).
* LEAKY_RELU, PRELU: ``positive`` steps on x ≥ 0; ``negative`` steps on x (LEAKY_RELU) or on
  x · slope (PRELU) elsewhere. Both attributes are step tuples.
* HARD_SIGMOID: ``clamp(x + three, 0, six)``; HARD_SWISH: ``x · gate(clamp(x + three, 0, six))``
  with ``gate`` a step tuple. ``three`` and ``six`` are integers in x's step.
* TABLE: ``table[x − lowest]``. SIGMOID and TANH become this.
* SOFTMAX: with m = max over ``axis``: ``e = table[m − x]`` (index capped at the last entry), then
  ``e · numerator / Σ e`` with ``rounding``.
* RESIZE_BILINEAR: exact integer weights of ``weight_bits`` fractional bits per axis; the result
  carries ``2 · weight_bits`` (2-D) more fractional bits, removed by a step.
* CLIP: integer ``lo``/``hi``. BATCH_NORM: does not exist; SCALE_OFFSET has integer constants.
* CONV & co: bias may be a constant (channels,) or a tensor (batch, channels).
* CHOOSE_SHIFT: reads a wide tensor frame by frame and returns the right shift (batch, 1) that
  makes its running range fit ``bits``/``signed``. Attributes: ``bits``, ``signed``,
  ``history_first``, ``history`` (percent of the old range kept during and after the first
  ``first_frames`` frames), ``margin`` (percent added), ``state`` (name of its state: int64
  [lowest, highest, frames seen]). Percentages round outward; the shift is the smallest n ≥ 0 with
  ⌊lowest/2^n⌋ and ⌊highest/2^n⌋ in range (an unsigned code ignores negative values); details in
  `nibblefit.fixed.operators.runtime_shift`. Frames follow the batch axis, so a batch equals its
  images sent one by one with the state carried along.
* SHIFT_RIGHT: ``x / 2^amount`` with ``rounding``; the amount is a tensor (batch, 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from nibblefit.fixed.formats import Accumulator, Format, IntArray
from nibblefit.fixed.steps import Steps
from nibblefit.ir.graph import Attributes, Shape, frozen_mapping
from nibblefit.ir.ops import Op


class Placement(StrEnum):
    """Which processor executes a node."""

    ACCELERATOR = "accelerator"
    HOST = "host"


@dataclass(frozen=True, slots=True)
class QuantizedNode:
    """One integer operation; see the module text for its four stages.

    Attributes:
        name: Unique; equals the float node's name where it comes from one.
        input_steps: One tuple per input (constants included), or empty for "no steps anywhere".
        steps: Applied to every output.
        accumulator: Width of the exact result before `steps`; None where it cannot matter.
        layer: Name of the hardware layer (or fused group) the node belongs to; nodes of one
            layer run in one pass of the accelerator.
        source: Where the user finds it: module path or ONNX node name.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Attributes = field(default_factory=frozen_mapping)
    input_steps: tuple[Steps, ...] = ()
    steps: Steps = ()
    accumulator: Accumulator | None = None
    placement: Placement = Placement.ACCELERATOR
    layer: str = ""
    source: str = ""

    @property
    def output(self) -> str:
        """Name of the first output."""
        return self.outputs[0]

    def steps_of_input(self, index: int) -> Steps:
        """Return the steps of one input, an empty tuple where none are declared."""
        return self.input_steps[index] if self.input_steps else ()

    def __reduce__(self) -> tuple[object, ...]:
        return (_make_node, (self.name, self.op, self.inputs, self.outputs, dict(self.attributes),
                             self.input_steps, self.steps, self.accumulator, self.placement,
                             self.layer, self.source))  # fmt: skip


def _make_node(*fields: Any) -> QuantizedNode:
    name, op, inputs, outputs, attributes, *rest = fields
    return QuantizedNode(name, op, inputs, outputs, frozen_mapping(attributes), *rest)


@dataclass(frozen=True, slots=True)
class QuantizedTensor:
    """Shape (batch axis left out, except for constants, which have none) and number format."""

    name: str
    shape: Shape
    format: Format


@dataclass(frozen=True, slots=True)
class QuantizedGraph:
    """A network of integers for one target.

    Attributes:
        name: Name of the network.
        target: Name of the target whose numerics it follows.
        inputs: Names of the input tensors; their formats say how a real input is quantized.
        outputs: Names of the output tensors.
        nodes: In topological order.
        tensors: Shape and format of every tensor and constant, by name.
        constants: int64, read-only, by name.
        states: Initial value of every state, int64, by name; empty for stateless targets.
        metadata: Facts a later stage or a reader needs (part, input rounding, class names):
            JSON-like values. Never read by an execution.
    """

    name: str
    target: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[QuantizedNode, ...]
    tensors: Mapping[str, QuantizedTensor]
    constants: Mapping[str, IntArray]
    states: Mapping[str, IntArray] = field(default_factory=frozen_mapping)
    metadata: Mapping[str, Any] = field(default_factory=frozen_mapping)

    def node(self, name: str) -> QuantizedNode:
        """Return the node called `name`; raises KeyError."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def producers(self) -> dict[str, QuantizedNode]:
        """Map every tensor made by a node to that node."""
        return {output: node for node in self.nodes for output in node.outputs}

    def consumers(self) -> dict[str, list[QuantizedNode]]:
        """Map every tensor and constant to the nodes that read it."""
        found: dict[str, list[QuantizedNode]] = {name: [] for name in self.tensors}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found[name].append(node)
        return found

    def layers(self) -> dict[str, list[QuantizedNode]]:
        """Map every hardware layer to its nodes, in order; unnamed nodes stand alone."""
        found: dict[str, list[QuantizedNode]] = {}
        for node in self.nodes:
            found.setdefault(node.layer or node.name, []).append(node)
        return found

    def with_nodes(self, *nodes: QuantizedNode) -> QuantizedGraph:
        """Return the graph with other nodes over the same tensors and constants."""
        return replace(self, nodes=tuple(nodes))

    def __reduce__(self) -> tuple[object, ...]:
        return (_make_graph, (self.name, self.target, self.inputs, self.outputs, self.nodes,
                              dict(self.tensors), dict(self.constants), dict(self.states),
                              dict(self.metadata)))  # fmt: skip


def _make_graph(*fields: Any) -> QuantizedGraph:
    name, target, inputs, outputs, nodes, *mappings = fields
    return QuantizedGraph(name, target, inputs, outputs, nodes, *map(frozen_mapping, mappings))
