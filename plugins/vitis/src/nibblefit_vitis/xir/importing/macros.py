"""Layers that XIR spells with several operators: average pools, hard sigmoid, hard swish.

XIR's own operators divide exactly; the DPU multiplies by a nearby number, so an exporter puts a
factor behind them: ``avgpool2d · c``, ``hard-sigmoid · c``, and ``fix(hard-sigmoid · c) · x``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nibblefit_vitis.preparation.constants import HARD_SIGMOID_FACTOR, HARD_SWISH_GATE_POSITION
from nibblefit_vitis.xir.graph import XirGraph, XirOperator

#: How far a float32 factor may lie from the exact one.
_ROUNDING = 2.0**-23


@dataclass(frozen=True, slots=True)
class Macro:
    """A layer of several operators.

    Attributes:
        first: The operator that does the work.
        factor: XIR constant behind it.
        gated: Whether it is a hard swish: the product with the first one's input.
        inner: Names of the operators that are no layers of their own.
    """

    first: XirOperator
    factor: str
    gated: bool
    inner: frozenset[str]


def macros(xir: XirGraph) -> dict[str, Macro]:
    """Return the layers of several operators by the name of their last one."""
    operators, found = xir.by_name(), dict[str, Macro]()
    for operator in xir.operators:
        operands = operator.arguments.get("input", ())
        if operator.kind != "mul" or len(operands) != 2:
            continue
        left, right = (operators[name] for name in operands)
        if left.kind in ("avgpool2d", "hard-sigmoid") and right.kind == "const":
            found[operator.name] = Macro(left, right.name, False, frozenset({left.name}))
            continue
        gate = _through_fix(left, operators)
        inner = found.get(gate.name)
        if inner is not None and _is_swish(inner, left, right):
            names = inner.inner | {gate.name, left.name}
            found[operator.name] = Macro(inner.first, inner.factor, True, names)
            del found[gate.name]
    return found


def _is_swish(gate: Macro, fixed: XirOperator, other: XirOperator) -> bool:
    """Return whether a product with a gate is a hard swish, whose gate has a format of its own."""
    sigmoid = gate.first
    if sigmoid.kind != "hard-sigmoid" or sigmoid.arguments.get("input") != (other.name,):
        return False
    if fixed.kind != "fix":
        return True
    own = (fixed.value("bit_width"), fixed.value("fix_point"))
    return own == (HARD_SWISH_GATE_POSITION + 1, HARD_SWISH_GATE_POSITION)


def _through_fix(operator: XirOperator, operators: dict[str, XirOperator]) -> XirOperator:
    if operator.kind == "fix" and operator.arguments.get("input"):
        return operators[operator.arguments["input"][0]]
    return operator


def sigmoid_correction() -> float:
    """Return the factor behind XIR's hard sigmoid."""
    return float(6 * HARD_SIGMOID_FACTOR)


def is_factor(found: object, expected: float) -> bool:
    """Return whether a constant is a factor, as float32."""
    array = np.asarray(found)
    return array.size == 1 and math.isclose(
        float(array.reshape(())), expected, rel_tol=_ROUNDING, abs_tol=0.0
    )
