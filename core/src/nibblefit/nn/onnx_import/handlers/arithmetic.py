"""Add, Sub, Mul, Div, Sum and their kin."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_import.site import Handler, Site
from nibblefit.nn.problems import Refused


def _same_rank(site: Site) -> None:
    ranks = {len(site.shape(i)) for i in range(len(site.node.input)) if site.is_activation(i)}
    if len(ranks) > 1:
        raise Refused(
            "it combines activations with different numbers of axes", "reshape one of them first"
        )


def _elementwise(op: Op) -> Handler:
    def handler(site: Site) -> str:
        _same_rank(site)
        operands = [site.operand(i) for i in range(len(site.node.input))]
        return operands[0] if len(operands) == 1 else site.add(op, operands)

    return handler


def _div(site: Site) -> str:
    if site.is_activation(1):
        raise Refused("it divides by an activation", "multiply by a value computed another way")

    def reciprocal(value: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if (value == 0).any():
            raise Refused("it divides by zero")
        value = 1.0 / value
        return value[0] if value.ndim == len(site.shape()) + 1 and len(value) == 1 else value

    factor = site.weight(1, "value", form="reciprocal", fixed=True, change=reciprocal)
    return site.add(Op.MUL, [site.activation(0), factor])


def _neg(site: Site) -> str:
    return site.add(Op.MUL, [site.activation(), site.number(-1.0)])


def _pow(site: Site) -> str:
    exponent = site.array(1, "exponent")
    if exponent.size != 1 or float(exponent.reshape(-1)[0]) != 2:
        raise Refused("only the square has an operator", "multiply the tensor by itself")
    return site.add(Op.MUL, [site.activation(), site.activation()])


HANDLERS: Mapping[str, Handler] = {
    "Add": _elementwise(Op.ADD),
    "Sum": _elementwise(Op.ADD),
    "Sub": _elementwise(Op.SUB),
    "Mul": _elementwise(Op.MUL),
    "Div": _div,
    "Neg": _neg,
    "Pow": _pow,
}
