"""Lists of numbers that specs write as text: ``"[1.0, 2.0, 1.0/3.0]"``, nested ones too.

TAO evaluates these strings as Python; here only numbers, lists and the four operations are read.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping

Numbers = float | list["Numbers"]

_OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
#: Longer texts are no lists of anchors.
_LONGEST = 10_000


def evaluate(text: str) -> Numbers:
    """Return the number or the list that a text says.

    Raises:
        ValueError: Anything else stands there.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"a list of at most {_LONGEST} letters")
    try:
        with warnings.catch_warnings():
            # Python remarks on doubtful literals such as `1if`; they are refused below.
            warnings.simplefilter("ignore", SyntaxWarning)
            return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ZeroDivisionError, OverflowError, RecursionError, MemoryError):
        raise ValueError("numbers, lists and + - * /") from None


def _value(node: ast.expr) -> Numbers:
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item) for item in node.elts]
    return _number(node)


def _number(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        number = float(node.value)  # type: ignore[arg-type]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        number = -_number(node.operand) if isinstance(node.op, ast.USub) else _number(node.operand)
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        number = _OPERATORS[type(node.op)](_number(node.left), _number(node.right))
    else:
        raise ValueError("numbers, lists and + - * /")
    if not math.isfinite(number):
        raise ValueError("finite numbers")
    return number
