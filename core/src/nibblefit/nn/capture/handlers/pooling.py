"""Pools with a window, and adaptive pools where every window is the same."""

# Handlers have the argument names and the argument order of torch.
# ruff: noqa: A002, ARG001, PLR0917

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from torch import Tensor

from nibblefit.ir.attributes import window_of
from nibblefit.ir.ops import Op
from nibblefit.nn.capture.call import Call, Handler
from nibblefit.nn.capture.handlers.convolution import per_axis
from nibblefit.nn.problems import Refused

_Sizes = int | Sequence[int]


def _window(
    x: Tensor, kernel_size: _Sizes, stride: _Sizes | None, padding: _Sizes, dilation: _Sizes,
    ceil_mode: bool, axes: int,
) -> dict[str, Any]:  # fmt: skip
    if x.dim() != axes + 2:
        raise Refused(f"its input has {x.dim()} axes", "keep the batch axis")
    kernel = per_axis(kernel_size, axes)
    found: dict[str, Any] = {
        "kernel": kernel,
        "strides": per_axis(stride, axes) if stride is not None and stride != [] else kernel,
        "pads": per_axis(padding, axes) * 2,
        "dilations": per_axis(dilation, axes),
    }
    sizes = tuple(x.shape[2:])
    partial = window_of({**found, "ceil_mode": True}, kernel).output_sizes(sizes)
    # Where rounding up changes nothing the plain pool is the canonical form.
    found["ceil_mode"] = ceil_mode and partial != window_of(found, kernel).output_sizes(sizes)
    return found


def _max_pool(axes: int) -> Handler:
    def handler(
        call: Call, input: Tensor, kernel_size: _Sizes, stride: _Sizes | None = None,
        padding: _Sizes = 0, dilation: _Sizes = 1, ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> str:  # fmt: skip
        if return_indices:
            raise Refused("it returns indices", "leave return_indices off; unpool by interpolation")
        window = _window(input, kernel_size, stride, padding, dilation, ceil_mode, axes)
        return call.add(Op.MAX_POOL, [call.activation(input)], **window)

    return handler


def _avg_pool(axes: int) -> Handler:
    def handler(
        call: Call, input: Tensor, kernel_size: _Sizes, stride: _Sizes | None = None,
        padding: _Sizes = 0, ceil_mode: bool = False, count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> str:  # fmt: skip
        window = _window(input, kernel_size, stride, padding, 1, ceil_mode, axes)
        if divisor_override not in {None, prod(window["kernel"])}:
            raise Refused("it divides by a number of its own", "multiply by a constant afterwards")
        # Without padding both ways of counting agree.
        counted = bool(count_include_pad) and any(window["pads"])
        return call.add(Op.AVG_POOL, [call.activation(input)], **window, count_include_pad=counted)

    return handler


def _adaptive(axes: int, pool: Op, global_pool: Op) -> Handler:
    def handler(
        call: Call, input: Tensor, output_size: Any, return_indices: bool = False
    ) -> str:  # fmt: skip
        if return_indices:
            raise Refused("it returns indices", "leave return_indices off")
        sizes = tuple(input.shape[2:])
        if len(sizes) != axes:
            raise Refused(f"its input has {input.dim()} axes", "keep the batch axis")
        wanted = tuple(call.result.shape[2:])
        x = call.activation(input)
        if wanted == sizes:
            return x
        if set(wanted) == {1}:
            return call.add(global_pool, [x])
        if any(size % want for size, want in zip(sizes, wanted)):
            raise Refused(
                f"windows of different sizes bring {sizes} to {wanted}",
                "choose an output size that divides the input size, or 1",
            )
        kernel = tuple(size // want for size, want in zip(sizes, wanted))
        extra: dict[str, Any] = {"count_include_pad": False} if pool is Op.AVG_POOL else {}
        return call.add(pool, [x], kernel=kernel, strides=kernel, **extra)

    return handler


HANDLERS: Mapping[str, Handler] = {
    **{f"max_pool{n}d": _max_pool(n) for n in (1, 2, 3)},
    **{f"max_pool{n}d_with_indices": _max_pool(n) for n in (1, 2, 3)},
    **{f"avg_pool{n}d": _avg_pool(n) for n in (1, 2, 3)},
    **{f"adaptive_avg_pool{n}d": _adaptive(n, Op.AVG_POOL, Op.GLOBAL_AVG_POOL) for n in (1, 2, 3)},
    **{f"adaptive_max_pool{n}d": _adaptive(n, Op.MAX_POOL, Op.GLOBAL_MAX_POOL) for n in (1, 2, 3)},
}
