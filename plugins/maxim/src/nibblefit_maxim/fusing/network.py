"""What fusing results in: layers, outputs, what is left to the host, and every refusal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Shape, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit_maxim.layers import HardwareLayer


@dataclass(frozen=True, slots=True)
class Refusal:
    """A float layer that the hardware cannot run.

    Attributes:
        layer: Name of the float node.
        reason: Why not.
        hint: What to do instead.
    """

    layer: str
    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class NetworkOutput:
    """One output of the accelerator.

    Attributes:
        name: Float tensor.
        tensor: Tensor that a layer writes.
        shape: Shape of the float tensor; the host crops and reshapes if the layer's differs.
        held_shape: Shape to crop from before reshaping, as the layer's tensor is laid out; empty:
            the layer's own shape.
        cropped_shape: Shape after cropping; empty: nothing is cropped.
    """

    name: str
    tensor: str
    shape: Shape
    held_shape: Shape = ()
    cropped_shape: Shape = ()


@dataclass(frozen=True, slots=True)
class HostNode:
    """What host software computes behind the accelerator's outputs.

    Attributes:
        name: Float node and tensor.
        op: Operator, such as softmax.
        input: An output of the accelerator, or another host node.
        attributes: The operator's.
        shape: Shape of the result.
    """

    name: str
    op: Op
    input: str
    attributes: Mapping[str, Any] = field(default_factory=frozen_mapping)
    shape: Shape = ()


@dataclass(frozen=True, slots=True)
class FusedNetwork:
    """A network in hardware layers, in execution order.

    Attributes:
        outputs: What the accelerator hands to the host.
        host: What host software makes of it, in order.
        results: Names of the network's outputs, each an output or a host node; empty: `outputs`.
    """

    name: str
    input: str
    input_shape: Shape
    layers: tuple[HardwareLayer, ...]
    outputs: tuple[NetworkOutput, ...]
    refusals: tuple[Refusal, ...] = ()
    host: tuple[HostNode, ...] = ()
    results: tuple[str, ...] = ()

    def layer(self, name: str) -> HardwareLayer:
        """Return the layer called `name`; raises KeyError."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    def require(self, title: str) -> FusedNetwork:
        """Return itself.

        Raises:
            UnsupportedError: At least one layer was refused; names all of them.
        """
        if not self.refusals:
            return self
        lines = "".join(f"\n  • layer '{r.layer}': {r.reason} → {r.hint}" for r in self.refusals)
        count = len(self.refusals)
        raise UnsupportedError(
            f"the {title} cannot run {count} layer{'s' if count > 1 else ''} of "
            f"'{self.name}'{lines}",
            hint="`nibblefit inspect` shows the whole network",
        )
