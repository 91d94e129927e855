"""What fusing has made so far: layers, values, refusals, and how waiting things are carried out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from nibblefit.ir.graph import Graph, Node, Shape
from nibblefit_maxim.fusing.geometry import UnfitError
from nibblefit_maxim.fusing.network import HostNode, Refusal
from nibblefit_maxim.fusing.value import Value
from nibblefit_maxim.layers import Activation, HardwareLayer, Operator
from nibblefit_maxim.parts import PROCESSORS, Part

#: Channels, rows and columns.
_MOST_AXES = 3
#: Operator of an identity by spatial axes.
_IDENTITIES = (Operator.LINEAR, Operator.CONV1D, Operator.CONV2D)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the recipe decides about fusing.

    Attributes:
        wide_output: A last layer without activation writes its 32-bit accumulator.
        rounds_averages: 2-D averages are rounded half away from zero instead of truncated.
    """

    wide_output: bool = True
    rounds_averages: bool = False


@dataclass
class Assembly:
    """One network being fused.

    Attributes:
        graph: The float graph, batch norm folded.
        part: The device.
        rules: What the recipe decides.
        values: What every float tensor is on the hardware.
        layers: Layers so far, by name, in execution order.
        host: What the host processor does afterwards.
        refusals: Float nodes that have no counterpart.
    """

    graph: Graph
    part: Part
    rules: Rules
    values: dict[str, Value] = field(default_factory=dict)
    layers: dict[str, HardwareLayer] = field(default_factory=dict)
    host: list[HostNode] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    _flushed: dict[Value, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._readers = self.graph.consumers()

    def is_private(self, tensor: str) -> bool:
        """Return whether one node reads a tensor, and nobody outside."""
        return len(self._readers.get(tensor, ())) == 1 and tensor not in self.graph.outputs

    def read(self, tensor: str) -> Value:
        """Return the value of a tensor on the accelerator.

        Raises:
            UnfitError: It is a constant, or only the host has it.
        """
        if tensor not in self.values:
            raise UnfitError("it works on a constant", "compute it before the network")
        value = self.values[tensor]
        if value.host:
            raise UnfitError(
                f"it stands behind '{value.host}', which host software computes",
                "end the network there; nothing returns to the accelerator",
            )
        if len(value.shape) > _MOST_AXES:
            raise UnfitError(
                f"its data has {len(value.shape) - 1} spatial axes", "use 1-D or 2-D data"
            )
        return replace(value, is_shared=value.is_shared or not self.is_private(tensor))

    def constant_shape(self, node: Node, index: int) -> Shape:
        """Return the shape of a node's constant.

        Raises:
            UnfitError: The network computes it.
        """
        name = node.inputs[index]
        if name not in self.graph.constants:
            raise UnfitError("its weights are computed by the network", "use constant weights")
        return tuple(self.graph.constants[name].shape)

    def put(self, layer: HardwareLayer, shape: Shape) -> Value:
        """Add a layer and return the value it writes; `shape` is the float tensor's."""
        if layer.output_shape != shape:
            layer = replace(layer, output=f"{layer.name}.dense")
        self.layers[layer.name] = layer
        return Value((layer.name,), layer.output_shape, shape)

    def open_layer(self, value: Value) -> HardwareLayer | None:
        """Return the layer that something behind `value` may still join."""
        if value.is_shared or len(value.sources) != 1 or value.eltwise is not None:
            return None
        layer = self.layers.get(value.sources[0])
        return layer if layer and layer.has_weights else None

    def join(self, layer: HardwareLayer, value: Value, node: Node) -> HardwareLayer:
        """Return the layer with one more float node; its tensor takes the node's name."""
        is_float = layer.output_shape == self.graph.shapes[node.output] and value.is_plain
        output = node.output if is_float else f"{layer.name}.dense"
        return replace(layer, sources=(*layer.sources, node.name), output=output)

    def is_emulated(self, value: Value) -> bool:
        """Return whether a combination may neither pool nor meet an operator.

        The MAX78000 emulates combinations of several passes, except two operands in two passes.
        Source: ai8x-synthesis ab4f4c0, `izer/backend/max7800x.py`, EMULATE_ELTWISE_MP.
        """
        passes, operands = -(-value.operand_shape[0] // PROCESSORS), len(value.sources)
        few = operands * passes == operands + passes
        return value.eltwise is not None and passes > 1 and not few and self.part.emulates_eltwise

    def flush(self, value: Value) -> Value:
        """Carry out what waits in a layer of its own; flattening goes on waiting."""
        if value.pool is not None and self.is_emulated(value):
            value = self._parted(value)
        waiting = replace(
            value, shape=value.operand_shape, is_flat=False, is_shared=False, flattening=(),
        )  # fmt: skip
        if waiting not in self._flushed:
            self._flushed[waiting] = self._carried_out(value)
        name = self._flushed[waiting]
        return Value(
            (name,), value.held_shape, value.shape, is_flat=value.is_flat,
            flattening=value.flattening,
        )  # fmt: skip

    def _parted(self, value: Value) -> Value:
        """Return a value that pools only, its combination carried out, or the other way round."""
        pool = value.pool
        if not value.pool_first:
            bare = self.flush(replace(
                value, pool=None, shape=value.operand_shape, label=f"{value.label}.combined",
                is_flat=False, flattening=(),
            ))  # fmt: skip
            return replace(value, sources=bare.sources, eltwise=None, pool_first=True)
        pooled = [
            self.flush(Value((name,), value.operand_shape, value.operand_shape, pool=pool,
                             label=f"{value.label}.pool{index}"))
            for index, name in enumerate(value.sources)
        ]  # fmt: skip
        return replace(
            value, sources=tuple(p.sources[0] for p in pooled), pool=None,
            operand_shape=value.held_shape,
        )  # fmt: skip

    def _carried_out(self, value: Value) -> str:
        name = self.free(value.label or f"{value.sources[0]}.subsampled")
        layer = HardwareLayer(
            name=name,
            operator=Operator.PASSTHROUGH,
            inputs=value.sources,
            input_shape=value.operand_shape,
            output_shape=value.held_shape,
            pool=value.pool,
            eltwise=value.eltwise,
            pool_first=value.pool_first,
            sources=value.nodes,
        )
        too_wide = value.operand_shape[0] > PROCESSORS and max(value.held_shape[1:], default=1) > 1
        if value.pool is not None and too_wide and not self.part.can_pool_many_passes:
            note = f"the {self.part.title} pools more than 64 channels only before an operator"
            layer = replace(identity(layer), notes=(note,))
        if value.surplus and max(value.surplus) > 0:
            layer = replace(layer, output=f"{name}.dense")
        self.layers[name] = layer
        return name

    def free(self, wanted: str) -> str:
        """Return `wanted`, or the first free variant of it, as a name for a layer."""
        name, use = wanted, 1
        while name in self.layers:
            use += 1
            name = f"{wanted}@{use}"
        return name

    def ends(self, layer: HardwareLayer) -> bool:
        """Return whether a layer's accumulator may leave as it is: only the host reads it."""
        if not layer.has_weights or layer.identity or layer.activation is not Activation.NONE:
            return False
        return not any(layer.name in other.inputs for other in self.layers.values())


def identity(layer: HardwareLayer) -> HardwareLayer:
    """Return a layer with an operator that changes nothing."""
    axes = len(layer.input_shape) - 1
    return replace(
        layer, operator=_IDENTITIES[axes], kernel=(1,) * axes, pad=(0,) * axes,
        dilation=(1,) * axes, identity=True,
    )  # fmt: skip
