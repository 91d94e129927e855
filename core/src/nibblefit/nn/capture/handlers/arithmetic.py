"""Addition, subtraction, multiplication and division by constants."""

# Handlers have the argument names and the argument order of torch.
# ruff: noqa: A002

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from nibblefit.ir.ops import Op
from nibblefit.nn.capture.call import Call, Handler
from nibblefit.nn.problems import Refused


def _binary(call: Call, op: Op, first: object, second: object) -> str:
    rank = max(v.dim() for v in (first, second) if isinstance(v, Tensor) and call.is_activation(v))
    return call.add(op, [call.operand(first, rank), call.operand(second, rank)])


def _scaled(call: Call, value: object, alpha: float) -> object:
    """Return the operand times torch's `alpha`, which is nearly always 1."""
    if alpha == 1:
        return value
    if call.is_activation(value):
        raise Refused("it scales an activation by alpha", "multiply first, then add")
    return value * alpha  # type: ignore[operator]


def _add(call: Call, input: object, other: object, *, alpha: float = 1) -> str:
    return _binary(call, Op.ADD, input, _scaled(call, other, alpha))


def _sub(call: Call, input: object, other: object, *, alpha: float = 1) -> str:
    return _binary(call, Op.SUB, input, _scaled(call, other, alpha))


def _rsub(call: Call, input: object, other: object, *, alpha: float = 1) -> str:
    return _binary(call, Op.SUB, other, _scaled(call, input, alpha))


def _mul(call: Call, input: object, other: object) -> str:
    return _binary(call, Op.MUL, input, other)


def _div(
    call: Call, input: object, other: object, *, rounding_mode: str | None = None
) -> str:  # fmt: skip
    if rounding_mode is not None:
        raise Refused("it rounds the quotient", "leave rounding to quantization")
    if call.is_activation(other):
        raise Refused("it divides by an activation", "multiply by a value computed another way")
    if isinstance(other, Tensor):
        if bool((other == 0).any()):
            raise Refused("it divides by zero")
        return _binary(call, Op.MUL, input, 1.0 / other.double())
    if not other:
        raise Refused("it divides by zero")
    return _binary(call, Op.MUL, input, 1.0 / float(other))  # type: ignore[arg-type]


def _neg(call: Call, input: Tensor) -> str:
    return _binary(call, Op.MUL, input, -1.0)


def _square(call: Call, input: Tensor) -> str:
    return _binary(call, Op.MUL, input, input)


def _pow(call: Call, input: object, exponent: object) -> str:
    if exponent == 2 and call.is_activation(input):
        return _binary(call, Op.MUL, input, input)
    raise Refused("only the square has an operator", "write x * x")


HANDLERS: Mapping[str, Handler] = {
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "mul": _mul,
    "div": _div,
    "neg": _neg,
    "square": _square,
    "pow": _pow,
}
