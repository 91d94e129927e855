"""Layers with weights, and pools, as they are read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nibblefit.ir.ops import Op
from nibblefit_vitis.preparation.constants import average_pool_reciprocal
from nibblefit_vitis.xir.graph import XirOperator
from nibblefit_vitis.xir.importing.assembly import Array, Assembly
from nibblefit_vitis.xir.importing.macros import is_factor
from nibblefit_vitis.xir.importing.values import flag, image, number, parameter, sizes, text

Reader = Callable[[Assembly, XirOperator], None]


def _convolution(assembly: Assembly, operator: XirOperator) -> None:
    weights = parameter(assembly, operator, "weights", 4)
    depthwise = operator.kind.startswith("depthwise")
    if depthwise:  # (multiplier, h, w, in) → (in · multiplier, 1, h, w)
        multiplier, height, width, channels = weights.shape
        arranged = weights.transpose(3, 0, 1, 2).reshape(channels * multiplier, 1, height, width)
        groups = channels
    else:
        arranged, groups = weights.transpose(0, 3, 1, 2), number(assembly, operator, "group", 1)
    geometry = _geometry(assembly, operator)
    attributes = {**geometry, "groups": groups}
    _layer(assembly, operator, Op.CONV, arranged, attributes)


def _transposed(assembly: Assembly, operator: XirOperator) -> None:
    weights = np.flip(parameter(assembly, operator, "weights", 4), (1, 2))
    arranged = weights.transpose(3, 0, 1, 2)  # (out or multiplier, h, w, in) → (in, …, h, w)
    depthwise = "depthwise" in operator.kind
    geometry = _geometry(assembly, operator)
    spans = [(k - 1) * d for k, d in zip(arranged.shape[2:], geometry["dilations"], strict=True)]
    geometry["pads"] = tuple(
        span - pad for span, pad in zip((*spans, *spans), geometry["pads"], strict=True)
    )
    groups = arranged.shape[0] if depthwise else 1
    _layer(assembly, operator, Op.CONV_TRANSPOSE, arranged, {**geometry, "groups": groups})


def _layer(assembly: Assembly, operator: XirOperator, op: Op, weights: Array,
           attributes: Mapping[str, Any]) -> None:  # fmt: skip
    given = image(assembly, operator)
    name = assembly.constant(assembly.operand(operator, 0, "weights"), weights)
    inputs = (given.tensor, name, *_bias(assembly, operator))
    assembly.add(operator, op, inputs, _stated(assembly, operator), attributes)


def _dense(assembly: Assembly, operator: XirOperator) -> None:
    second = assembly.operand(operator, 1)
    first = assembly.view(operator)
    straight = tuple(range(len(first.axes)))
    first = first if first.axes == straight else assembly.settled(first, straight)
    shape = operator.tensor.shape
    plain = tuple(range(len(shape)))
    if flag(assembly, operator, "transpose_a", default=False):
        raise assembly.refused(operator, "its first operand is transposed")
    if second in assembly.loose:
        weights = assembly.loose[second]
        if weights.ndim != 2:
            raise assembly.refused(operator, f"its weights have shape {weights.shape}")
        if not flag(assembly, operator, "transpose_b", default=False):
            weights = np.swapaxes(weights, -1, -2)
        image = assembly.flattened.get(assembly.operand(operator, 0))
        if image is not None and weights.shape[1] == math.prod(image):
            channels, *extents = image  # (out, h · w · in) → (out, in · h · w)
            turned = weights.reshape(len(weights), *extents, channels).transpose(0, 3, 1, 2)
            weights = turned.reshape(weights.shape)
        inputs = (first.tensor, assembly.constant(second, weights), *_bias(assembly, operator))
        assembly.add(operator, Op.LINEAR, inputs, shape, axes=plain)
        return
    if flag(assembly, operator, "transpose_b", default=False) or "bias" in operator.arguments:
        raise assembly.refused(operator, "a product of tensors with bias or transposed operand")
    other = assembly.view(operator, 1)
    if not len(first.axes) == len(other.axes) == len(plain):
        raise assembly.refused(operator, "its operands have different numbers of axes")
    other = other if other.axes == plain else assembly.settled(other, plain)
    assembly.add(operator, Op.MATMUL, (first.tensor, other.tensor), shape, axes=plain)


def _max_pool(assembly: Assembly, operator: XirOperator) -> None:
    given = image(assembly, operator)
    op, attributes = Op.GLOBAL_MAX_POOL, dict[str, Any]()
    if not flag(assembly, operator, "global", default=False):
        op, attributes = Op.MAX_POOL, _window(assembly, operator)
    assembly.add(operator, op, (given.tensor,), _stated(assembly, operator), attributes)


def average_pool(assembly: Assembly, pool: XirOperator, end: XirOperator, factor: str) -> None:
    """Read an average pool, whose factor must be the DPU's.

    Args:
        assembly: The network so far.
        pool: The ``avgpool2d``.
        end: The ``mul`` behind it.
        factor: The constant; empty where there is none.
    """
    given = image(assembly, pool)
    kernel, op = given.shape[2:], Op.GLOBAL_AVG_POOL
    attributes: dict[str, Any] = {}
    if not flag(assembly, pool, "global", default=False):
        counted, op = flag(assembly, pool, "count_include_pad", default=True), Op.AVG_POOL
        attributes = {**_window(assembly, pool), "count_include_pad": counted}
        kernel = attributes["kernel"]
    if min(kernel) < 1:
        raise assembly.refused(pool, f"its kernel is {kernel}")
    expected = average_pool_reciprocal(kernel).correction
    if not is_factor(assembly.loose[factor] if factor else 1.0, expected):
        raise assembly.refused(pool, f"no factor of {expected} stands behind it, as on the DPU")
    assembly.add(end, op, (given.tensor,), _stated(assembly, end), attributes)


def _lone_average_pool(assembly: Assembly, operator: XirOperator) -> None:
    average_pool(assembly, operator, operator, "")


def _stated(assembly: Assembly, operator: XirOperator) -> tuple[int, ...]:
    """Return the shape that the file states, in our order."""
    if len(operator.tensor.shape) != 4:
        raise assembly.refused(operator, f"its shape {operator.tensor.shape} is no image's")
    batch, height, width, channels = operator.tensor.shape
    return (batch, channels, height, width)


def _window(assembly: Assembly, operator: XirOperator) -> dict[str, Any]:
    geometry = _geometry(assembly, operator)
    kernel = tuple(reversed(sizes(assembly, operator, "kernel", 2)))
    ceil = text(operator, "pad_mode") == "CEIL"
    return {"kernel": kernel, **geometry, "ceil_mode": ceil}


def _geometry(assembly: Assembly, operator: XirOperator) -> dict[str, Any]:
    """Return strides, pads and dilations in our order."""
    mode = text(operator, "pad_mode")
    if mode not in ("FLOOR", "CEIL"):
        raise assembly.refused(operator, f"its pad_mode is '{mode}'; expected FLOOR or CEIL")
    left, right, top, bottom = sizes(assembly, operator, "pad", 4)
    dilation: tuple[int, ...] = (1, 1)
    if "dilation" in operator.attributes:
        dilation = sizes(assembly, operator, "dilation", 2)
    return {
        "strides": tuple(reversed(sizes(assembly, operator, "stride", 2))),
        "pads": (top, left, bottom, right),
        "dilations": tuple(reversed(dilation)),
    }


def _bias(assembly: Assembly, operator: XirOperator) -> tuple[str, ...]:
    if "bias" not in operator.arguments:
        return ()
    array = parameter(assembly, operator, "bias", 1)
    return (assembly.constant(assembly.operand(operator, 0, "bias"), array),)


READERS: Mapping[str, Reader] = {
    "conv2d": _convolution,
    "depthwise-conv2d": _convolution,
    "transposed-conv2d": _transposed,
    "transposed-depthwise-conv2d": _transposed,
    "matmul": _dense,
    "maxpool2d": _max_pool,
    "avgpool2d": _lone_average_pool,
}
