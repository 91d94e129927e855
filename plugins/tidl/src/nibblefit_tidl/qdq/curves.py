"""What functions should compute: tables, slopes, softmax, interpolation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nibblefit.fixed.formats import FloatArray, IntArray
from nibblefit.fixed.operators.resize import resize_linear
from nibblefit.ir.graph import Attributes
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode
from nibblefit.ir.reference import FORMULAS
from nibblefit_tidl.qdq.expected import ROUNDOFF, Expected, unrounded
from nibblefit_tidl.qdq.functions import function_of

#: Operators whose expected result is found here.
CURVED = frozenset({Op.TABLE, Op.LEAKY_RELU, Op.PRELU, Op.SOFTMAX, Op.RESIZE_BILINEAR})
#: Units in the last place by which onnxruntime's sigmoid and tanh, which are rational
#: approximations in float32, may be off; its other functions are far below.
_FUNCTION_ROUNDINGS = 32
_OTHER_ROUNDINGS = 8


def curved(graph: QuantizedGraph, node: QuantizedNode,
           tensors: Mapping[str, IntArray]) -> Expected:  # fmt: skip
    """Return the unrounded results of one of `CURVED`."""
    source = graph.tensors[node.inputs[0]].format
    codes = tensors[node.inputs[0]] - source.zero_point[0]
    step = float(source.scale.values()[0])
    if node.op is Op.RESIZE_BILINEAR:
        return _interpolated(graph, node, codes)
    if node.op is Op.SOFTMAX:
        return _softmax(graph, node, codes, step)
    if node.op is Op.TABLE:
        return _table(graph, node, codes.astype(np.float64) * step)
    return _sloped(graph, node, codes, step)


def _table(graph: QuantizedGraph, node: QuantizedNode, real: FloatArray) -> Expected:
    """A table holds the function correctly rounded, so device and ideal are one."""
    function = function_of(graph, node)
    assert function is not None  # tables without are refused before
    values = _value(function.op, function.attributes, real)
    out = graph.tensors[node.output].format
    step = float(out.scale.values()[0])
    ideal = values / step + out.zero_point[0]
    noise = _FUNCTION_ROUNDINGS * ROUNDOFF * np.maximum(np.abs(values), 1.0) / step
    return Expected(ideal, ideal, noise)


def _value(op: Op, attributes: Attributes, x: FloatArray) -> FloatArray:
    if op is Op.TANH:
        return np.asarray(np.tanh(x))
    if op is Op.SIGMOID:
        return np.asarray(1.0 / (1.0 + np.exp(-x)))
    if op is Op.HARD_SWISH:
        return np.asarray(x * np.clip(x / 6.0 + 0.5, 0.0, 1.0))
    alpha, beta = attributes.get("alpha", 1 / 6), attributes.get("beta", 0.5)
    return np.asarray(np.clip(alpha * x + beta, 0.0, 1.0))


def _sloped(graph: QuantizedGraph, node: QuantizedNode, codes: IntArray, step: float) -> Expected:
    """Below zero values have another factor, one for all or one per channel."""
    out = graph.tensors[node.output].format
    ratio = step / float(out.scale.values()[0])
    function = function_of(graph, node)
    slopes: IntArray = np.ones((), np.int64)
    slope = np.asarray(float(function.attributes["slope"]) if function is not None else 1.0)
    if node.op is Op.PRELU:
        fmt = graph.tensors[node.inputs[1]].format
        stored = graph.constants[node.inputs[1]].reshape(-1) - fmt.zero_point[0]
        slopes = stored.reshape(-1, *(1,) * (codes.ndim - 2))
        slope = slopes * float(fmt.scale.values()[0])
    falls = codes < 0
    ideal = np.where(falls, codes * slope, codes) * ratio
    device = np.where(
        falls,
        unrounded(codes * slopes, node.attributes["negative"]),
        unrounded(codes, node.attributes["positive"]),
    )
    noise = _OTHER_ROUNDINGS * ROUNDOFF * np.abs(ideal)
    return Expected(ideal + out.zero_point[0], unrounded(device, node.steps), noise)


def _softmax(graph: QuantizedGraph, node: QuantizedNode, codes: IntArray, step: float) -> Expected:
    """The device sums exponentials of a table; it differs from real ones by their rounding."""
    out, axis = graph.tensors[node.output].format, int(node.attributes["axis"])
    distance = codes.max(axis=axis, keepdims=True) - codes
    table = graph.constants[node.inputs[1]]
    kept = table[np.minimum(distance, len(table) - 1)]
    real = np.exp(-step * distance)
    ideal = real / real.sum(axis=axis, keepdims=True) / float(out.scale.values()[0])
    device = kept / kept.sum(axis=axis, keepdims=True) * node.attributes["numerator"]
    roundings = codes.shape[axis] + _OTHER_ROUNDINGS + 2 * step * distance
    return Expected(ideal + out.zero_point[0], device + out.zero_point[0],
                    roundings * ROUNDOFF * ideal)  # fmt: skip


def _interpolated(graph: QuantizedGraph, node: QuantizedNode, codes: IntArray) -> Expected:
    """The device's weights have few bits; those of doubled sizes are exact in them."""
    out, attributes = graph.tensors[node.output].format, node.attributes
    where = (attributes["sizes"], attributes["coordinates"])
    ideal = resize_linear(codes.astype(np.float64), *where)
    total = FORMULAS[node.op](attributes, [codes])[0]
    size = resize_linear(np.abs(codes).astype(np.float64), *where)
    return Expected(
        np.asarray(ideal + out.zero_point[0], np.float64), unrounded(total, node.steps),
        np.asarray(_OTHER_ROUNDINGS * ROUNDOFF * size, np.float64),
    )  # fmt: skip
