"""What a layer should compute, in real numbers: with the file's scales, and with the device's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from nibblefit.fixed.apply import apply_steps
from nibblefit.fixed.formats import FloatArray, Format, IntArray
from nibblefit.fixed.operators.pooling import window_counts
from nibblefit.fixed.quantize import per_channel
from nibblefit.ir.attributes import window_of
from nibblefit.ir.execute import parameters_of
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode
from nibblefit.ir.reference import FORMULAS
from nibblefit_tidl.qdq.curves import CURVED, curved
from nibblefit_tidl.qdq.expected import ROUNDOFF, Expected, unrounded
from nibblefit_tidl.qdq.layers import AVERAGED, MOVED

#: Integers up to here, and sums of such, are exact in float32.
EXACT = 2.0**24
#: Roundings on the way that do not depend on the number of terms: both operands, bias, scale.
_OTHER_ROUNDINGS = 8


def expected(graph: QuantizedGraph, node: QuantizedNode,
             tensors: Mapping[str, IntArray]) -> Expected | None:  # fmt: skip
    """Return the unrounded results of a node, None where it does not round."""
    if node.op in MOVED | {Op.ARGMAX}:
        return None
    if node.op in (Op.CONV, Op.CONV_TRANSPOSE, Op.LINEAR, Op.MUL, Op.MATMUL):
        return _products(graph, node, tensors)
    if node.op in AVERAGED:
        return _average(graph, node, tensors)
    if node.op in (Op.ADD, Op.SUB):
        return _sum(graph, node, tensors)
    if node.op in CURVED:
        return curved(graph, node, tensors)
    return _rescaled(graph, node, tensors)


def _products(graph: QuantizedGraph, node: QuantizedNode,
              tensors: Mapping[str, IntArray]) -> Expected:  # fmt: skip
    operands = [_operand(graph, node, place, tensors) for place in range(len(node.inputs))]
    total = FORMULAS[node.op](node.attributes, operands)[0]
    size = FORMULAS[node.op](node.attributes, [np.abs(operand) for operand in operands])[0]
    x, y = (_format(graph, node, place) for place in (0, 1))
    axis = total.ndim - 1 if node.op is Op.LINEAR else 1
    steps = x.scale.values() * y.scale.values()
    factor = per_channel(steps, axis if len(steps) > 1 else None, total.ndim)
    out = _out(graph, node)
    scaled = factor / out.scale.values()[0]
    exact = x.scale.is_power_of_two and float(size.max(initial=0)) < EXACT
    terms = 0 if exact else _terms(node, operands) + _OTHER_ROUNDINGS
    return Expected(
        total * scaled + out.zero_point[0],
        unrounded(total, node.steps),
        terms * ROUNDOFF * size * scaled,
    )


def _terms(node: QuantizedNode, operands: Sequence[IntArray]) -> int:
    if node.op is Op.MUL:
        return 1
    weights = operands[1]
    if node.op is Op.MATMUL:
        return int(weights.shape[-2])
    return int(weights.size // (1 if node.op is Op.CONV_TRANSPOSE else max(len(weights), 1)))


def _average(graph: QuantizedGraph, node: QuantizedNode,
             tensors: Mapping[str, IntArray]) -> Expected:  # fmt: skip
    x = _operand(graph, node, 0, tensors)
    total = FORMULAS[node.op](node.attributes, [x])[0]
    size = FORMULAS[node.op](node.attributes, [np.abs(x)])[0]
    divisor = _window(node, x.shape[2:])
    out = _out(graph, node)
    scaled = _format(graph, node, 0).scale.values()[0] / out.scale.values()[0] / divisor
    terms = int(np.max(divisor)) + _OTHER_ROUNDINGS
    return Expected(
        total * scaled + out.zero_point[0],
        unrounded(total, node.steps),
        terms * ROUNDOFF * size * scaled,
    )


def _window(node: QuantizedNode, sizes: tuple[int, ...]) -> IntArray:
    if node.op is Op.GLOBAL_AVG_POOL:
        return np.array(math.prod(sizes))
    window = window_of(node.attributes, tuple(node.attributes["kernel"]))
    return window_counts(sizes, window, bool(node.attributes.get("count_include_pad", False)))


def _sum(graph: QuantizedGraph, node: QuantizedNode,
         tensors: Mapping[str, IntArray]) -> Expected:  # fmt: skip
    out = _out(graph, node)
    parts = [_real(graph, node, place, tensors) / out.scale.values()[0]
             for place in range(len(node.inputs))]  # fmt: skip
    operands = [_operand(graph, node, place, tensors) for place in range(len(node.inputs))]
    signs = [1.0] + [-1.0 if node.op is Op.SUB else 1.0] * (len(parts) - 1)
    total = sum((sign * part for sign, part in zip(signs, parts)), np.zeros(()))
    size = sum((np.abs(part) for part in parts), np.zeros(()))
    exact = _exact_sum([_format(graph, node, place) for place in range(len(parts))])
    return Expected(
        np.asarray(total + out.zero_point[0]),
        unrounded(FORMULAS[node.op](node.attributes, operands)[0], node.steps),
        np.asarray(0.0 if exact else _OTHER_ROUNDINGS) * ROUNDOFF * size,
    )


def _exact_sum(operands: list[Format]) -> bool:
    """Return whether float32 adds any codes of these formats without rounding."""
    fracs = [fmt.scale.frac[0] for fmt in operands if fmt.scale.frac is not None]
    if len(fracs) < len(operands):
        return False
    return bool(len(operands) * 2.0 ** (9 + max(fracs) - min(fracs)) < EXACT)


def _rescaled(graph: QuantizedGraph, node: QuantizedNode,
              tensors: Mapping[str, IntArray]) -> Expected:  # fmt: skip
    """Concatenation, rectifiers and identity: every value by itself."""
    out = _out(graph, node)
    places = range(len(node.inputs))
    ideal = [_real(graph, node, place, tensors) / out.scale.values()[0] for place in places]
    raw = [unrounded(tensors[name], node.steps_of_input(place))
           for place, name in enumerate(node.inputs)]  # fmt: skip
    if node.op is Op.CONCAT:
        axis = int(node.attributes["axis"])
        wanted, device = np.concatenate(ideal, axis), np.concatenate(raw, axis)
    else:
        wanted, device = ideal[0], raw[0]
    if node.op is Op.RELU:
        wanted, device = np.maximum(wanted, 0.0), np.maximum(device, 0.0)
    elif node.op is Op.ABS:
        wanted, device = np.abs(wanted), np.abs(device)
    noise = _OTHER_ROUNDINGS * ROUNDOFF * np.abs(wanted)
    return Expected(wanted + out.zero_point[0], unrounded(device, node.steps), noise)


def _operand(graph: QuantizedGraph, node: QuantizedNode, place: int,
             tensors: Mapping[str, IntArray]) -> IntArray:  # fmt: skip
    """Return an input after its steps, as the judge feeds it to the operator."""
    name, steps = node.inputs[place], node.steps_of_input(place)
    if name not in graph.constants:
        return apply_steps(tensors[name], steps)
    constant = apply_steps(graph.constants[name][None], steps)
    return constant[0] if place in parameters_of(node.op) else constant


def _real(graph: QuantizedGraph, node: QuantizedNode, place: int,
          tensors: Mapping[str, IntArray]) -> FloatArray:  # fmt: skip
    name, fmt = node.inputs[place], _format(graph, node, place)
    codes = graph.constants[name][None] if name in graph.constants else tensors[name]
    return np.asarray((codes - fmt.zero_point[0]) * fmt.scale.values()[0])


def _format(graph: QuantizedGraph, node: QuantizedNode, place: int) -> Format:
    return graph.tensors[node.inputs[place]].format


def _out(graph: QuantizedGraph, node: QuantizedNode) -> Format:
    return graph.tensors[node.output].format
