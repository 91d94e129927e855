"""What a handler sees of one layer: its inputs, settings and weights, and the graph to add to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from nibblefit.errors import InputError
from nibblefit.fixed.formats import FloatArray
from nibblefit.ir.graph import Shape
from nibblefit.ir.ops import Op
from nibblefit.nn.builder import GraphBuilder
from nibblefit.nn.problems import Refused
from nibblefit_tidl.caffe.fillers import FillerError, filled
from nibblefit_tidl.caffe.schema import Message, new

#: Half of what a caffemodel of 2 GiB can hold; more is a mistake in the text.
MOST_NUMBERS = 1 << 28


@dataclass(slots=True)
class Parameters:
    """Where weights come from: the trained blobs, else the fillers.

    Attributes:
        trained: Layer → its blobs.
        seed: Of the fillers.
        shared: Name of a shared parameter → the constant that holds it.
    """

    trained: dict[str, tuple[FloatArray, ...]]
    seed: int
    shared: dict[str, str]


@dataclass(frozen=True, slots=True)
class Site:
    """One layer being imported.

    Attributes:
        layer: The ``LayerParameter``.
        inputs: Graph tensors of its bottoms.
        builder: The graph that grows.
        parameters: Where weights come from.
        file: Name of the prototxt, for messages.
    """

    layer: Message
    inputs: tuple[str, ...]
    builder: GraphBuilder
    parameters: Parameters
    file: str

    @property
    def name(self) -> str:
        """Name of the layer."""
        return str(self.layer.name)

    @property
    def x(self) -> str:
        """The first bottom's tensor."""
        return self.inputs[0]

    @property
    def shape(self) -> Shape:
        """Shape of the first bottom, without batch axis."""
        return self.builder.shape_of(self.inputs[0])

    @property
    def trained(self) -> tuple[FloatArray, ...]:
        """Blobs of the layer in the caffemodel, empty if there are none."""
        return self.parameters.trained.get(self.name, ())

    def expect_inputs(self, count: int) -> None:
        """Refuse a layer with another number of bottoms."""
        if len(self.inputs) != count:
            raise Refused(f"it has {len(self.inputs)} bottoms; expected {count}")

    def add(self, op: Op, inputs: Sequence[str] | None = None, suffix: str = "", **attributes: Any
            ) -> str:  # fmt: skip
        """Add a node named after the layer and return its tensor."""
        wanted = f"{self.name}{suffix}"
        operands = self.inputs[:1] if inputs is None else inputs
        return self.builder.add(op, operands, wanted, source=self.name, **attributes)

    def spatial(self) -> Shape:
        """Return the spatial sizes of the first bottom; only two spatial axes are represented."""
        if len(self.shape) != 3:
            raise Refused(
                f"its input has the shape {self.shape} without batch axis",
                "use inputs of four axes: batch, channels, height, width",
            )
        return self.shape[1:]

    def is_frozen(self, index: int) -> bool:
        """Return whether a parameter is kept from training by a learning rate of zero."""
        return index < len(self.layer.param) and self.layer.param[index].lr_mult == 0

    def parameter(
        self, index: int, suffix: str, shape: Shape, filler: Message | None = None
    ) -> str:
        """Add the layer's parameter number `index` as a constant and return its name.

        Args:
            index: Place among the layer's blobs.
            suffix: Behind the layer's name, such as ``weight``.
            shape: The shape it must have.
            filler: What draws it if there are no trained blobs; unset for the constant 0.

        Raises:
            InputError: The trained blob does not fit.
        """
        shared = self.layer.param[index].name if index < len(self.layer.param) else ""
        if shared in self.parameters.shared:
            return self._again(shared, shape)
        values = self._values(index, suffix, shape, filler)
        wanted = shared or f"{self.name}.{suffix}"
        constant = self.builder.add_constant(wanted, values, fixed=self.is_frozen(index))
        if shared:
            self.parameters.shared[shared] = constant
        return constant

    def constant(self, suffix: str, values: FloatArray) -> str:
        """Add a constant that is no parameter and never trained."""
        return self.builder.add_constant(f"{self.name}.{suffix}", values, fixed=True)

    def _again(self, shared: str, shape: Shape) -> str:
        constant = self.parameters.shared[shared]
        found = self.builder.shape_of(constant)
        if found != shape:
            raise Refused(
                f"the shared parameter '{shared}' has the shape {found}, here {shape} is needed",
                "share parameters between layers of equal shape only",
            )
        return constant

    def _values(self, index: int, suffix: str, shape: Shape, filler: Message | None) -> FloatArray:
        if self.trained:
            return self.trained_blob(index, suffix, shape)
        if math.prod(shape) > MOST_NUMBERS:
            raise Refused(f"its {suffix} would have {math.prod(shape):,} numbers",
                          "correct num_output, kernel or input size")  # fmt: skip
        try:
            return filled(filler or new("FillerParameter"), shape, self.parameters.seed,
                          f"{self.name}.{suffix}")  # fmt: skip
        except FillerError as error:
            raise Refused(str(error), "correct the filler of the layer") from error

    def trained_blob(self, index: int, suffix: str, shape: Shape) -> FloatArray:
        """Return a trained blob in the shape it must have; axes of size 1 may differ.

        Raises:
            InputError: There is no such blob, or it has another shape.
        """
        blobs = self.trained
        if index >= len(blobs):
            raise InputError(
                f"layer '{self.name}' has {len(blobs)} blobs in the caffemodel; {self.file} needs "
                f"its {suffix} as number {index + 1}",
                hint="use the prototxt that the caffemodel was trained with",
            )
        blob = blobs[index]
        bare = tuple(size for size in blob.shape if size != 1)
        flat = math.prod(shape) == blob.size and blob.ndim == 1
        if bare != tuple(size for size in shape if size != 1) and not flat:
            raise InputError(
                f"the {suffix} of layer '{self.name}' has the shape {blob.shape} in the caffemodel "
                f"and {shape} in {self.file}",
                hint="use the prototxt that the caffemodel was trained with",
            )
        return np.ascontiguousarray(blob).reshape(shape)


#: Turns a layer into nodes and returns the tensor of each of its tops.
Handler: TypeAlias = Callable[[Site], Sequence[str]]


def axis_of(site: Site, axis: int, *, shape: Shape | None = None) -> int:
    """Return an axis counted from the batch axis, 1 or more; Caffe counts negative ones back."""
    rank = len(site.shape if shape is None else shape) + 1
    found = axis + rank if axis < 0 else axis
    if not 1 <= found < rank:
        what = "the batch axis" if found == 0 else f"axis {axis} of {rank}"
        raise Refused(f"it works along {what}", "use an axis from 1 on")
    return found
