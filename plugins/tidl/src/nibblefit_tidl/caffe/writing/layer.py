"""One node on its way into Caffe: the layers it becomes, and what cannot be said there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from nibblefit.fixed.formats import FloatArray
from nibblefit.ir.graph import Graph, Node, Shape
from nibblefit.nn.names import FIXED
from nibblefit.nn.problems import Refused
from nibblefit_tidl.caffe.blobs import blob_of
from nibblefit_tidl.caffe.schema import Message, new

Dialect = Literal["ti", "bvlc"]


@dataclass(slots=True)
class Writing:
    """What is known while a graph is written.

    Attributes:
        graph: The graph.
        dialect: How batch norms are said.
        blobs: Graph tensor → Caffe blob; they differ where a node needs no layer.
        layers: Finished layers.
        shared: Constants that several nodes use.
    """

    graph: Graph
    dialect: Dialect
    blobs: dict[str, str]
    shared: frozenset[str]
    layers: list[Message] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Place:
    """One node being written."""

    node: Node
    writing: Writing

    @property
    def shape(self) -> Shape:
        """Shape of the first input without batch axis."""
        return self.shape_of(self.node.inputs[0])

    def shape_of(self, name: str) -> Shape:
        """Return the shape of a tensor or a constant."""
        graph = self.writing.graph
        return graph.shapes[name] if name in graph.shapes else graph.constants[name].shape

    def tensors(self) -> tuple[str, ...]:
        """Return the inputs that are no constants."""
        return tuple(name for name in self.node.inputs if name in self.writing.graph.shapes)

    def values(self, index: int) -> FloatArray:
        """Return an input that must be a constant."""
        name = self.node.inputs[index]
        if name not in self.writing.graph.constants:
            raise Refused(f"its input {index + 1} is computed by the network",
                          "Caffe's layers keep their weights; store them as constants")  # fmt: skip
        return np.asarray(self.writing.graph.constants[name], np.float64)

    def layer(
        self,
        kind: str,
        bottoms: Sequence[str] | None = None,
        tops: Sequence[str] | None = None,
        suffix: str = "",
    ) -> Message:
        """Add a layer and return it.

        Args:
            kind: Caffe's name of the type.
            bottoms: Blobs; without them those of the node's tensors.
            tops: Blobs; without them the node's outputs, or one of the layer's own name if it
                has a suffix.
            suffix: Behind the node's name, for a node that becomes several layers.
        """
        message = new("LayerParameter")
        message.name, message.type = f"{self.node.name}{suffix}", kind
        inputs = [self.writing.blobs[name] for name in self.tensors()]
        message.bottom.extend(inputs if bottoms is None else bottoms)
        made = (message.name,) if suffix else self.node.outputs
        message.top.extend(made if tops is None else tops)
        self.writing.layers.append(message)
        return message

    def store(self, layer: Message, index: int, values: FloatArray | None = None) -> None:
        """Append the constant input number `index`, or these values of it, to a layer's blobs."""
        name = self.node.inputs[index]
        stored = self.values(index) if values is None else values
        layer.blobs.append(blob_of(stored))
        spec = layer.param.add()
        if name in self.writing.shared and values is None:
            spec.name = name
        if name.endswith(FIXED):
            spec.lr_mult = spec.decay_mult = 0

    def alias(self) -> None:
        """Say that the node's output is its input, without a layer."""
        self.writing.blobs[self.node.output] = self.writing.blobs[self.node.inputs[0]]


def single(value: float, what: str) -> float:
    """Return a number that a text file keeps in seven digits.

    Raises:
        Refused: It has more.
    """
    if float(f"{np.float32(value):.7g}") != value:
        raise Refused(f"its {what} {value!r} has more digits than Caffe keeps",
                      f"round it to {float(f'{value:.7g}')!r}")  # fmt: skip
    return value


Emitter: TypeAlias = Callable[[Place], None]
