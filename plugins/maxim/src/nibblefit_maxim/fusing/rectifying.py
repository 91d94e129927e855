"""Rectifiers: part of the layer before them, or of a layer that otherwise changes nothing."""

from __future__ import annotations

from dataclasses import replace

from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit_maxim.fusing.assembly import Assembly, identity
from nibblefit_maxim.fusing.combining import is_maximum
from nibblefit_maxim.fusing.geometry import UnfitError
from nibblefit_maxim.fusing.value import Value
from nibblefit_maxim.layers import Activation, HardwareLayer, Operator


def rectify(site: Assembly, node: Node) -> Value:
    """Return relu or abs of a value."""
    value = site.read(node.inputs[0])
    kind = Activation.ABS if node.op is Op.ABS else Activation.RELU
    if node.op is Op.CLIP and (node.attributes["lo"], node.attributes["hi"]) != (0.0, None):
        raise UnfitError(
            f"the hardware has no clip to {node.attributes['lo']} … {node.attributes['hi']}",
            'use relu; outputs saturate by themselves. approximations = ["relu6"] under [target] '
            "replaces relu6 by relu",
        )
    layer = site.open_layer(value)
    # Rectifying commutes with the maximum, and everything commutes with subsampling.
    commutes = (
        value.pool is None or value.is_subsampled or (kind is Activation.RELU and is_maximum(value))
    )
    if layer is None or not commutes or layer.wide:
        return _behind_identity(site, node, value, kind)
    joined = site.join(layer, value, node)
    # Behind relu or abs nothing is negative, so a second one changes nothing.
    if layer.activation is Activation.NONE:
        joined = replace(joined, activation=kind)
    site.layers[layer.name] = joined
    return replace(value, is_shared=False)


def _behind_identity(site: Assembly, node: Node, value: Value, kind: Activation) -> Value:
    """Insert an operator that changes nothing, to rectify behind it."""
    axes = len(value.operand_shape) - 1
    one_dimensional = axes == 1 and value.eltwise is not None
    if one_dimensional or site.is_emulated(value) or (axes == 0 and value.is_concatenation):
        value = site.flush(value)
    plain = HardwareLayer(
        name=node.name,
        operator=Operator.PASSTHROUGH,
        inputs=value.sources,
        input_shape=value.operand_shape,
        output_shape=value.held_shape,
        pool=value.pool,
        eltwise=value.eltwise,
        pool_first=value.pool_first,
        activation=kind,
        sources=(*value.nodes, node.name),
        output=node.output,
    )
    layer = identity(plain)
    made = site.put(layer, site.graph.shapes[node.output])
    return Value(
        made.sources, layer.output_shape, value.shape, is_flat=value.is_flat,
        flattening=value.flattening,
    )  # fmt: skip
