"""What fusing results in: layers, outputs, and every refusal."""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Shape
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
    """One output of the network.

    Attributes:
        name: Float tensor.
        tensor: Tensor that a layer writes.
        shape: Shape of the float tensor; the host reshapes if the layer's differs.
    """

    name: str
    tensor: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class FusedNetwork:
    """A network in hardware layers, in execution order."""

    name: str
    input: str
    input_shape: Shape
    layers: tuple[HardwareLayer, ...]
    outputs: tuple[NetworkOutput, ...]
    refusals: tuple[Refusal, ...] = ()

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
