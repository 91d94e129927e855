"""A network as the rules see it: layers with shapes, whatever file they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeAlias

#: Shape without the batch axis; None where it is not known.
Shape: TypeAlias = tuple[int, ...] | None


class Sort(StrEnum):
    """What a layer does, as far as the rules tell layers apart."""

    CONVOLUTION = "convolution"
    TRANSPOSED = "transposed convolution"
    DENSE = "dense"
    MATMUL = "matrix product"
    MAX_POOL = "max pool"
    AVERAGE_POOL = "average pool"
    MEAN = "mean"
    ADD = "sum"
    SUB = "difference"
    MUL = "product"
    ELEMENTWISE = "element-wise operator"
    CONCAT = "concatenation"
    RELU = "ReLU"
    RELU6 = "ReLU6"
    CLIP = "clip"
    LEAKY_RELU = "LeakyReLU"
    PRELU = "PReLU"
    HARD_SIGMOID = "hard-sigmoid"
    HARD_SWISH = "hard-swish"
    SIGMOID = "sigmoid"
    SMOOTH = "smooth function"
    SOFTMAX = "softmax"
    NORM = "batch norm"
    LIVE_NORM = "normalization"
    PAD = "pad"
    NEAREST = "nearest resize"
    BILINEAR = "bilinear resize"
    RESIZE = "resize"
    RESHAPE = "reshape"
    PERMUTE = "permute"
    SLICE = "slice"
    SHUFFLE = "pixel shuffle"
    ARGMAX = "argmax"
    NOTHING = "nothing"
    UNKNOWN = "unknown operator"


#: Functions that an engine applies to its result, if they directly follow its layer.
FUNCTIONS = frozenset({Sort.RELU, Sort.RELU6, Sort.CLIP, Sort.LEAKY_RELU, Sort.PRELU,
                       Sort.HARD_SIGMOID, Sort.HARD_SWISH})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer.

    Attributes:
        name: Unique in the network.
        sort: What it does.
        word: Its operator, as its file calls it.
        inputs: Names of the tensors it reads; constants are left out.
        outputs: Names of the tensors it makes.
        input_shapes: Of `inputs`.
        shape: Of its first output.
        facts: What rules ask for: kernel, strides, pads (begins, ends), dilations, groups,
            channels_in, channels_out, output_padding, slope, axis, mode, factors, coordinates,
            constant (shape of a constant operand), batch_changes, axes, alpha, beta.
    """

    name: str
    sort: Sort
    word: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    input_shapes: tuple[Shape, ...] = ()
    shape: Shape = None
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def is_depthwise(self) -> bool:
        """Whether every input channel has filters of its own."""
        groups = int(self.facts.get("groups", 1))
        return groups > 1 and groups == self.facts.get("channels_in")


@dataclass(frozen=True, slots=True)
class Network:
    """Layers in order of execution.

    Attributes:
        name: Of the network.
        inputs: Name of every input → its shape.
        outputs: Names of the output tensors.
        layers: Every operator that computes something from the inputs.
        notes: What could not be found out, such as shapes.
    """

    name: str
    inputs: Mapping[str, Shape]
    outputs: tuple[str, ...]
    layers: tuple[Layer, ...]
    notes: tuple[str, ...] = ()

    def readers(self) -> dict[str, list[Layer]]:
        """Map every tensor to the layers that read it."""
        found: dict[str, list[Layer]] = {name: [] for name in self.inputs}
        for layer in self.layers:
            for name in layer.outputs:
                found.setdefault(name, [])
            for name in dict.fromkeys(layer.inputs):
                found.setdefault(name, []).append(layer)
        return found

    def makers(self) -> dict[str, Layer]:
        """Map every tensor that a layer makes to that layer."""
        return {name: layer for layer in self.layers for name in layer.outputs}


def times(shape: Shape) -> str:
    """Return a shape for people, such as ``3×32×32``."""
    if shape is None:
        return "?"
    return "×".join(str(size) for size in shape) or "1"
