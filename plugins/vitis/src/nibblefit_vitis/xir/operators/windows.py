"""Pools."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from nibblefit.fixed.geometry import Window, window
from nibblefit.ir.attributes import window_of
from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit_vitis.preparation.constants import average_pool_reciprocal
from nibblefit_vitis.xir.attributes import flag, window_attributes
from nibblefit_vitis.xir.building import Builder, Value
from nibblefit_vitis.xir.graph import Attribute


def _max_pool(builder: Builder, node: Node) -> None:
    made = _pool(builder, node, builder.name_of(node), "maxpool2d", {})
    builder.finish(node.output, made)


def _average_pool(builder: Builder, node: Node) -> None:
    geometry = _geometry(builder, node)
    # Without padding nothing is counted or not; the original says true there.
    counted = not any(geometry.pads) or node.attributes.get("count_include_pad", True)
    more = {"count_include_pad": flag(counted), "count_include_invalid": flag(True)}
    name = builder.name_of(node)
    mean = _pool(builder, node, builder.names.fresh(f"{name}_i0"), "avgpool2d", more)
    made = scaled(builder, name, mean, average_pool_reciprocal(geometry.kernel).correction)
    builder.finish(node.output, made)


def scaled(builder: Builder, name: str, value: Value, factor: float) -> Value:
    """Multiply a value by a constant, as the DPU's divisions do; the product is called `name`."""
    constant = builder.literal(f"{name}_i1", np.array([factor], np.float32))
    return builder.emit(name, "mul", {"input": (value.operator, constant)}, {}, value.shape,
                        value.order)  # fmt: skip


def _pool(builder: Builder, node: Node, name: str, kind: str,
          more: Mapping[str, Attribute]) -> Value:  # fmt: skip
    geometry = _geometry(builder, node)
    attributes: dict[str, Attribute] = {
        **window_attributes(
            geometry.kernel, geometry.strides, geometry.pads, ceil_mode=geometry.ceil_mode
        ),
        "global": flag(node.op in (Op.GLOBAL_AVG_POOL, Op.GLOBAL_MAX_POOL)),
        **more,
    }
    given = builder.usual(builder.value(node, 0)).operator
    shape = (1, *builder.graph.shapes[node.output])
    return builder.emit(name, kind, {"input": (given,)}, attributes, shape)


def _geometry(builder: Builder, node: Node) -> Window:
    """Return the window; of a global pool it is the whole image, taken once."""
    sizes = builder.graph.shapes[node.inputs[0]][1:]
    if len(sizes) != 2:
        raise builder.refuse(node, f"it has {len(sizes)} spatial axes",
                             "layers with height and width only are written")  # fmt: skip
    if "kernel" not in node.attributes:
        return window(sizes, sizes)
    geometry = window_of(node.attributes, tuple(node.attributes["kernel"]))
    if max(geometry.dilations) > 1:
        raise builder.refuse(node, "pools have no dilation in XIR", "use a dilation of 1")
    return geometry


EMITTERS: Mapping[Op, Callable[[Builder, Node], None]] = {
    Op.MAX_POOL: _max_pool,
    Op.GLOBAL_MAX_POOL: _max_pool,
    Op.AVG_POOL: _average_pool,
    Op.GLOBAL_AVG_POOL: _average_pool,
}
