"""Activations and operators that combine tensors, as they are read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from nibblefit.ir.ops import Op
from nibblefit_vitis.xir.graph import XirOperator
from nibblefit_vitis.xir.importing.assembly import Assembly
from nibblefit_vitis.xir.importing.layers import Reader
from nibblefit_vitis.xir.importing.macros import is_factor, sigmoid_correction
from nibblefit_vitis.xir.importing.values import axis, image, parameter, wrong
from nibblefit_vitis.xir.importing.views import image_axes


def _keeping(op: Op, attributes: Mapping[str, Any] | None = None) -> Reader:
    def read(assembly: Assembly, operator: XirOperator) -> None:
        given = assembly.view(operator)
        assembly.add(operator, op, (given.tensor,), given.shape, attributes, axes=given.axes)

    return read


def _leaky(assembly: Assembly, operator: XirOperator) -> None:
    slope = operator.value("alpha")
    if not isinstance(slope, float) or not math.isfinite(slope):
        raise wrong(assembly, operator, "alpha", "a number")
    _keeping(Op.LEAKY_RELU, {"slope": slope})(assembly, operator)


def gate(assembly: Assembly, sigmoid: XirOperator, end: XirOperator, factor: str, *,
         gated: bool) -> None:  # fmt: skip
    """Read a hard sigmoid, or the hard swish around it; the factor must be the DPU's."""
    given = assembly.view(sigmoid)
    if not is_factor(assembly.loose.get(factor), sigmoid_correction()):
        raise assembly.refused(sigmoid, f"no factor of {sigmoid_correction()} stands behind it, "
                                        "as on the DPU")  # fmt: skip
    op = Op.HARD_SWISH if gated else Op.HARD_SIGMOID
    assembly.add(end, op, (given.tensor,), given.shape, axes=given.axes)


def _prelu(assembly: Assembly, operator: XirOperator) -> None:
    given, weight = assembly.view(operator), assembly.operand(operator, 0, "weight")
    slope = assembly.constant(weight, parameter(assembly, operator, "weight", 1))
    assembly.add(operator, Op.PRELU, (given.tensor, slope), given.shape, axes=given.axes)


def _along(op: Op) -> Reader:
    def read(assembly: Assembly, operator: XirOperator) -> None:
        given = assembly.view(operator)
        ours = given.axes[axis(assembly, operator, len(given.axes))]
        assembly.add(operator, op, (given.tensor,), given.shape, {"axis": ours}, axes=given.axes)

    return read


def _scale(assembly: Assembly, operator: XirOperator) -> None:
    given, inputs = image(assembly, operator), []
    for argument in ("scale", "bias"):
        array = parameter(assembly, operator, argument, 1)
        inputs.append(assembly.constant(assembly.operand(operator, 0, argument), array))
    assembly.add(operator, Op.SCALE_OFFSET, (given.tensor, *inputs), given.shape)


def _combining(op: Op) -> Reader:
    def read(assembly: Assembly, operator: XirOperator) -> None:
        inputs, shapes = [], []
        rank = len(operator.tensor.shape)
        for index, name in enumerate(operator.arguments.get("input", ())):
            if name in assembly.loose:
                array = assembly.loose[name]
                if array.ndim > rank:
                    raise assembly.refused(operator, f"constant '{name}' has {array.ndim} axes")
                array = array.reshape((1,) * (rank - array.ndim) + array.shape)
                ours = array.transpose(np.argsort(image_axes(rank)))
                shapes.append(ours.shape)
                inputs.append(assembly.constant(name, ours[0]))
            else:
                view = assembly.usual(operator, index)
                shapes.append(view.shape)
                inputs.append(view.tensor)
        if not shapes:
            raise assembly.refused(operator, "it has no inputs")
        try:
            shape = np.broadcast_shapes(*shapes)
        except ValueError as problem:
            raise assembly.refused(operator, f"shapes {shapes} do not fit") from problem
        assembly.add(operator, op, tuple(inputs), shape)

    return read


def _concat(assembly: Assembly, operator: XirOperator) -> None:
    count = len(operator.arguments.get("input", ()))
    views = [assembly.usual(operator, index) for index in range(count)]
    rank = len(operator.tensor.shape)
    if not views or any(len(view.shape) != rank for view in views):
        raise assembly.refused(operator, "its inputs do not have its number of axes")
    ours = image_axes(rank)[axis(assembly, operator, rank)]
    shape = [*views[0].shape]
    shape[ours] = sum(view.shape[ours] for view in views)
    assembly.add(operator, Op.CONCAT, tuple(view.tensor for view in views), tuple(shape),
                 {"axis": ours})  # fmt: skip


READERS: Mapping[str, Reader] = {
    "relu": _keeping(Op.RELU),
    "relu6": _keeping(Op.CLIP, {"lo": 0.0, "hi": 6.0}),
    "sigmoid": _keeping(Op.SIGMOID),
    "tanh": _keeping(Op.TANH),
    "leaky-relu": _leaky,
    "prelu": _prelu,
    "softmax": _along(Op.SOFTMAX),
    "scale": _scale,
    "add": _combining(Op.ADD),
    "sub": _combining(Op.SUB),
    "mul": _combining(Op.MUL),
    "concat": _concat,
}
