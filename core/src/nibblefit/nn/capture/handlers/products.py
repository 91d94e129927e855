"""Linear layers and matrix products."""

# Handlers have the argument names and the argument order of torch.
# ruff: noqa: A002

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from nibblefit.ir.ops import Op
from nibblefit.nn.capture.call import Call, Handler
from nibblefit.nn.problems import Refused


def _linear(call: Call, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> str:
    inputs = [call.activation(input), call.weight(weight, "weight")]
    if bias is not None:
        inputs.append(call.weight(bias, "bias"))
    return call.add(Op.LINEAR, inputs)


def _matmul(call: Call, input: Tensor, other: Tensor) -> str:
    first, second = call.is_activation(input), call.is_activation(other)
    if first and second:
        if input.dim() != other.dim() or input.dim() < 3:
            raise Refused(
                f"it multiplies activations with {input.dim()} and {other.dim()} axes",
                "give both a batch axis and the two axes of a matrix",
            )
        return call.add(Op.MATMUL, [call.activation(input), call.activation(other)])
    if first and other.dim() == 2:
        weight = call.weight(other, "weight", transposed=True)
        return call.add(Op.LINEAR, [call.activation(input), weight])
    activation, constant = (input, other) if first else (other, input)
    if activation.dim() < 3 or constant.dim() < 2:
        raise Refused("a vector takes part in it", "write the product as nn.Linear")
    rank = max(input.dim(), other.dim())
    return call.add(Op.MATMUL, [call.operand(input, rank), call.operand(other, rank)])


def _rmatmul(call: Call, input: Tensor, other: Tensor) -> str:
    return _matmul(call, other, input)


def _addmm(
    call: Call, input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1
) -> str:  # fmt: skip
    if beta != 1 or alpha != 1 or input.dim() != 1:
        raise Refused("only bias + x @ weight is understood", "write it as nn.Linear")
    weight = call.weight(mat2, "weight", transposed=True)
    return call.add(Op.LINEAR, [call.activation(mat1), weight, call.weight(input, "bias")])


HANDLERS: Mapping[str, Handler] = {
    "linear": _linear,
    "matmul": _matmul,
    "rmatmul": _rmatmul,
    "addmm": _addmm,
}
