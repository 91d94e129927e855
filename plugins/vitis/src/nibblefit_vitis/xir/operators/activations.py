"""Activations, soft maximum, and scale with offset."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit_vitis.preparation.constants import (
    HARD_SIGMOID_FACTOR,
    HARD_SWISH_GATE_POSITION,
    is_standard_gate,
)
from nibblefit_vitis.xir.attributes import number, real
from nibblefit_vitis.xir.building import Builder, Value
from nibblefit_vitis.xir.graph import Attribute
from nibblefit_vitis.xir.operators.windows import scaled

#: XIR's hard-sigmoid divides by 6; the DPU multiplies by 2731 / 2**14.
_CORRECTION = 6 * HARD_SIGMOID_FACTOR


def _simple(kind: str) -> Callable[[Builder, Node], None]:
    return lambda builder, node: _emit(builder, node, kind, {})


def _emit(builder: Builder, node: Node, kind: str, attributes: Mapping[str, Attribute],
          arguments: Mapping[str, tuple[str, ...]] | None = None) -> None:  # fmt: skip
    given = builder.value(node, 0)
    made = builder.emit(
        builder.name_of(node), kind, {"input": (given.operator,), **(arguments or {})}, attributes,
        given.shape, given.order,
    )  # fmt: skip
    builder.finish(node.output, made)


def _clip(builder: Builder, node: Node) -> None:
    bounds = (node.attributes.get("lo"), node.attributes.get("hi"))
    kinds = {(0.0, None): "relu", (0.0, 6.0): "relu6"}
    if bounds not in kinds:
        raise builder.refuse(node, f"it clips to {bounds[0]} and {bounds[1]}",
                             "use ReLU or ReLU6")  # fmt: skip
    _emit(builder, node, kinds[bounds], {})


def _leaky(builder: Builder, node: Node) -> None:
    slope = float(np.float32(node.attributes["slope"]))
    _emit(builder, node, "leaky-relu", {"alpha": real(slope)})


def _prelu(builder: Builder, node: Node) -> None:
    _emit(builder, node, "prelu", {}, {"weight": (builder.parameter(node, 1),)})


def _axis(kind: str) -> Callable[[Builder, Node], None]:
    def emit(builder: Builder, node: Node) -> None:
        given = builder.value(node, 0)
        rank = len(given.shape)
        axis = given.order.index(node.attributes["axis"] % rank)
        _emit(builder, node, kind, {"axis": number(axis)})

    return emit


def _scale_offset(builder: Builder, node: Node) -> None:
    given = builder.usual(builder.value(node, 0))
    arguments = {
        "input": (given.operator,),
        "scale": (builder.parameter(node, 1),),
        "bias": (builder.parameter(node, 2),),
    }
    made = builder.emit(builder.name_of(node), "scale", arguments, {}, given.shape)
    builder.finish(node.output, made)


def _hard_sigmoid(builder: Builder, node: Node) -> None:
    alpha, beta = node.attributes.get("alpha", 1 / 6), node.attributes.get("beta", 0.5)
    if not is_standard_gate(node.attributes):
        raise builder.refuse(node, f"it has slope {alpha} and offset {beta}",
                             "the DPU has slope 1/6 and offset 0.5")  # fmt: skip
    name = builder.name_of(node)
    sigmoid = _sigmoid_part(builder, name, builder.value(node, 0))
    builder.finish(node.output, scaled(builder, name, sigmoid, _CORRECTION))


def _hard_swish(builder: Builder, node: Node) -> None:
    name, given = builder.name_of(node), builder.value(node, 0)
    sigmoid = _sigmoid_part(builder, name, given)
    constant = builder.literal(f"{name}_i1", np.array([_CORRECTION], np.float32))
    product = builder.names.fresh(f"{name}_mul")
    gate = builder.emit(product, "mul", {"input": (sigmoid.operator, constant)}, {}, given.shape,
                        given.order)  # fmt: skip
    if builder.formats.outputs.get(node.output) is not None:
        # The original takes the output's width, which on the DPU is 8 bits too.
        position = HARD_SWISH_GATE_POSITION
        gate = builder.fixed(gate, f"{product}_fix", position, position + 1)
    made = builder.emit(name, "mul", {"input": (gate.operator, given.operator)}, {}, given.shape,
                        given.order)  # fmt: skip
    builder.finish(node.output, made)


def _sigmoid_part(builder: Builder, name: str, given: Value) -> Value:
    return builder.emit(builder.names.fresh(f"{name}_i0"), "hard-sigmoid",
                        {"input": (given.operator,)}, {}, given.shape, given.order)  # fmt: skip


EMITTERS: Mapping[Op, Callable[[Builder, Node], None]] = {
    Op.RELU: _simple("relu"),
    Op.CLIP: _clip,
    Op.LEAKY_RELU: _leaky,
    Op.PRELU: _prelu,
    Op.SIGMOID: _simple("sigmoid"),
    Op.TANH: _simple("tanh"),
    Op.SOFTMAX: _axis("softmax"),
    Op.SCALE_OFFSET: _scale_offset,
    Op.HARD_SIGMOID: _hard_sigmoid,
    Op.HARD_SWISH: _hard_swish,
}
