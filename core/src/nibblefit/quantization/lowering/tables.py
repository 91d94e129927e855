"""Smooth functions as tables over every input code; softmax from a table of exponentials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import FloatArray, Format
from nibblefit.fixed.quantize import quantize
from nibblefit.fixed.steps import Add, Clamp, Steps
from nibblefit.ir.graph import Attributes
from nibblefit.ir.ops import Op
from nibblefit.quantization.factors import without_zero
from nibblefit.quantization.lowering.context import Lowering
from nibblefit.quantization.lowering.gates import gate_values, gated
from nibblefit.quantization.units import Unit

#: Widest input a table is made for: 65,536 entries.
TABLE_BITS = 16
#: Fractional bits of the exponentials of a softmax.
_EXP_BITS = 20

_Function = Callable[[FloatArray, Attributes], FloatArray]


def _sigmoid(x: FloatArray, _: Attributes) -> FloatArray:
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, e) / (1.0 + e))


def _hard_sigmoid(x: FloatArray, attributes: Attributes) -> FloatArray:
    alpha, beta = attributes.get("alpha", 1 / 6), attributes.get("beta", 0.5)
    return np.asarray(np.clip(alpha * x + beta, 0.0, 1.0))


_FUNCTIONS: Mapping[Op, _Function] = {
    Op.SIGMOID: _sigmoid,
    Op.TANH: lambda x, _: np.tanh(x),
    Op.HARD_SIGMOID: _hard_sigmoid,
    Op.HARD_SWISH: lambda x, _: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0),
}


def function(lowering: Lowering, unit: Unit) -> None:
    """Lower a function of one value: entry = its value at that code, correctly rounded."""
    node, x, out = unit.node, lowering.operand(unit), lowering.output(unit)
    gates = lowering.numerics.gates if node.op in (Op.HARD_SIGMOID, Op.HARD_SWISH) else None
    if gates is not None and x.scale.frac is not None:
        gated(lowering, unit, gates)
        return
    _check_width(x, unit)
    real = (np.arange(x.lo, x.hi + 1) - x.zero_point[0]) * x.scale.values()[0]
    rounding = lowering.rounding(unit, lowering.numerics.activations.rounding)
    if gates is not None:
        values = gate_values(node, real, gates, rounding)
    else:
        values = _FUNCTIONS[node.op](real, node.attributes)
    entries = quantize(values, out, rounding)
    table = lowering.declare_constant(f"{node.name}.table", entries, out)
    lowering.add(unit, op=Op.TABLE, inputs=(*node.inputs, table), attributes={"lowest": x.lo})


def softmax(lowering: Lowering, unit: Unit) -> None:
    """Lower a softmax: exponentials by table, one exact division."""
    node, x, out = unit.node, lowering.operand(unit), lowering.output(unit)
    _check_width(x, unit)
    distance = np.arange(x.hi - x.lo + 1, dtype=np.float64)
    entries = np.rint(np.exp(-distance * x.scale.values()[0]) * 2.0**_EXP_BITS).astype(np.int64)
    fmt = Format(_EXP_BITS + 1, False)
    table = lowering.declare_constant(f"{node.name}.table", entries, fmt)
    numerator = round(1.0 / float(out.scale.values()[0]))
    attributes: dict[str, Any] = {
        "axis": node.attributes["axis"],
        "numerator": numerator,
        "rounding": lowering.requant(unit).rounding.value,
    }
    zero = out.zero_point[0]
    steps: Steps = (*((Add(zero),) if zero else ()), Clamp(out.lo, out.hi))
    lowering.add(unit, inputs=(*node.inputs, table), attributes=attributes, steps=steps)


def argmax(lowering: Lowering, unit: Unit) -> None:
    """Lower argmax; codes keep the order of real values."""
    lowering.add(unit, input_steps=[without_zero(lowering.operand(unit))])


def _check_width(x: Format, unit: Unit) -> None:
    if x.bits > TABLE_BITS:
        raise UnsupportedError(
            f"layer '{unit.node.name}' ({unit.node.op.value}) reads {x.bits}-bit codes; tables "
            f"are made for up to {TABLE_BITS} bits",
            hint=f"set activation_bits of the layer before it to {TABLE_BITS} or less",
        )
