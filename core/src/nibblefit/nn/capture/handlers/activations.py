"""Activation functions, softmax and argmax."""

# Handlers have the argument names and the argument order of torch.
# ruff: noqa: A002, ARG001

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from nibblefit.ir.ops import Op
from nibblefit.nn.capture.call import Call, Handler
from nibblefit.nn.problems import Refused


def _simple(op: Op) -> Handler:
    def handler(call: Call, input: Tensor, inplace: bool = False) -> str:
        return call.add(op, [call.activation(input)])

    return handler


def _bound(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise Refused("its bounds differ between values", "use one number for each bound")
        return float(value)
    return float(value)  # type: ignore[arg-type]


def clamp(
    call: Call, input: Tensor, min: Any = None, max: Any = None, out: None = None
) -> str:  # fmt: skip
    """Limit values to min … max."""
    if call.is_activation(min) or call.is_activation(max):
        raise Refused("its bounds are computed from the input", "use numbers as bounds")
    return _clip(call, input, _bound(min), _bound(max))


def _clip(call: Call, x: Tensor, lo: float | None, hi: float | None) -> str:
    if lo == 0 and hi is None:
        return call.add(Op.RELU, [call.activation(x)])
    return call.add(Op.CLIP, [call.activation(x)], lo=lo, hi=hi)


def _clamp_min(call: Call, input: Tensor, min: Any) -> str:
    return clamp(call, input, min=min)


def _clamp_max(call: Call, input: Tensor, max: Any) -> str:
    return clamp(call, input, max=max)


def _hardtanh(
    call: Call, input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> str:  # fmt: skip
    return _clip(call, input, float(min_val), float(max_val))


def _relu6(call: Call, input: Tensor, inplace: bool = False) -> str:
    return _clip(call, input, 0.0, 6.0)


def _threshold(
    call: Call, input: Tensor, threshold: float, value: float, inplace: bool = False
) -> str:  # fmt: skip
    if threshold != 0 or value != 0:
        raise Refused("only a threshold at 0 with value 0 has an operator", "use relu or clamp")
    return call.add(Op.RELU, [call.activation(input)])


def _leaky_relu(
    call: Call, input: Tensor, negative_slope: float = 0.01, inplace: bool = False
) -> str:  # fmt: skip
    return call.add(Op.LEAKY_RELU, [call.activation(input)], slope=float(negative_slope))


def _prelu(call: Call, input: Tensor, weight: Tensor) -> str:
    x = call.activation(input)
    return call.add(Op.PRELU, [x, call.weight(weight, "weight")])


def _hardsigmoid(call: Call, input: Tensor, inplace: bool = False) -> str:
    return call.add(Op.HARD_SIGMOID, [call.activation(input)], alpha=1 / 6, beta=0.5)


def _silu(call: Call, input: Tensor, inplace: bool = False) -> str:
    x = call.activation(input)
    return call.add(Op.MUL, [x, call.add(Op.SIGMOID, [x], part="sigmoid")])


def _softmax(call: Call, input: Tensor, dim: int | None = None, *_: Any, **__: Any) -> str:
    if dim is None:
        raise Refused("its axis is left to torch", "state it: softmax(x, dim=1)")
    return call.add(Op.SOFTMAX, [call.activation(input)], axis=call.axis(input, dim))


def _argmax(call: Call, input: Tensor, dim: int | None = None, keepdim: bool = False) -> str:
    if dim is None:
        raise Refused("it searches the whole batch", "state the axis: argmax(x, dim=1)")
    axis = call.axis(input, dim)
    return call.add(Op.ARGMAX, [call.activation(input)], axis=axis, keepdims=bool(keepdim))


HANDLERS: Mapping[str, Handler] = {
    "relu": _simple(Op.RELU),
    "abs": _simple(Op.ABS),
    "sigmoid": _simple(Op.SIGMOID),
    "tanh": _simple(Op.TANH),
    "hardswish": _simple(Op.HARD_SWISH),
    "hardsigmoid": _hardsigmoid,
    "silu": _silu,
    "relu6": _relu6,
    "hardtanh": _hardtanh,
    "threshold": _threshold,
    "clamp": clamp,
    "clamp_min": _clamp_min,
    "clamp_max": _clamp_max,
    "leaky_relu": _leaky_relu,
    "prelu": _prelu,
    "softmax": _softmax,
    "argmax": _argmax,
}
