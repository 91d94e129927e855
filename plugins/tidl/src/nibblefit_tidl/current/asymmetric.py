"""Formats and codes of the modes with zero points and one weight scale per channel."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import FloatArray, Format
from nibblefit.fixed.quantize import quantize
from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.numerics import TensorRule
from nibblefit.ir.ops import Op
from nibblefit.quantization import formats
from nibblefit.quantization.align import product_scale
from nibblefit.quantization.assign import AFFINE, Assignment, fixed_format, raw_format
from nibblefit.quantization.units import Output, Unit
from nibblefit.quantization.weights import (
    Codes,
    Limits,
    quantize_bias,
    quantize_weights,
)
from nibblefit_tidl.current.modes import WEIGHT_RANGE
from nibblefit_tidl.current.ranges import Range
from nibblefit_tidl.current.settings import CodeSettings
from nibblefit_tidl.current.weights import clipped_magnitude

#: Products of two tensors take constants per tensor.
_PER_TENSOR = frozenset({Op.PRELU, Op.MATMUL})


def assign_asymmetric(graph: Graph, parts: tuple[Unit, ...], ranges: Mapping[str, Range],
                      settings: CodeSettings) -> Assignment:  # fmt: skip
    """Return all formats and codes.

    Activations take the finest step whose codes cover their range, zero included; weights have
    one symmetric scale per output channel, biases the accumulator's.
    """
    done = Assignment()
    for name in graph.inputs:
        done.tensors[name] = _covering(name, ranges, settings)
    for unit in parts:
        if unit.node.op not in AFFINE:
            _constants(graph, unit.node, settings, done)
        if unit.output is Output.KEPT:
            fmt = done.operand(unit.node, 0)
        elif unit.output is Output.FIXED:
            bits = settings.precision.of_tensor(unit.tensors[0])
            fmt = fixed_format(unit.node, settings.numerics, bits)
        elif unit.output is Output.CALIBRATED:
            fmt = _covering(unit.tensors[0], ranges, settings)
        if unit.node.op in AFFINE:
            _affine(graph, unit.node, settings, done)
        if unit.output is Output.RAW:
            fmt = raw_format(unit.node, graph, done, settings.numerics)
        done.tensors.update(dict.fromkeys(unit.tensors, fmt))
    return done


def _covering(name: str, ranges: Mapping[str, Range], settings: CodeSettings) -> Format:
    rule = settings.numerics.activations
    signed = formats.is_signed(rule, False)
    return formats.cover(*ranges[name], rule, settings.precision.of_tensor(name), signed)


def _affine(graph: Graph, node: Node, settings: CodeSettings, done: Assignment) -> None:
    if node.inputs[1] not in graph.constants:
        raise UnsupportedError(
            f"layer '{node.name}' ({node.op.value}) takes its weights from another layer",
            hint="use constant weights, or matmul for products of two tensors",
        )
    x, bits = done.operand(node, 0), settings.precision.of_weights(node.name)
    weights = np.asarray(graph.constants[node.inputs[1]], np.float64)
    bias = _constant(graph, node, 2)
    axis = _channel_axis(node)
    rule, numerics = settings.mode.bias_rule(max(x.bits, bits)), settings.numerics
    channels = weights.shape[axis] if axis is not None else 1
    most = settings.mode.largest_bias(max(x.bits, bits), signed=x.signed)
    step = float(x.scale.values()[0])
    limits = Limits(step, np.zeros(channels) if bias is None else bias, most)
    kept = _clipped(weights, axis, bits, settings)
    codes = quantize_weights(kept, axis, numerics.weights, bits, limits)
    done.constants[node.name, 1] = codes
    if bias is not None:
        scale = product_scale(x.scale, codes.format.scale)
        done.constants[node.name, 2] = quantize_bias(bias, scale, rule, signed=x.signed)


def _clipped(weights: FloatArray, axis: int | None, bits: int,
             settings: CodeSettings) -> FloatArray:  # fmt: skip
    """Return weights without outliers, channel by channel."""
    if not settings.mode.has(WEIGHT_RANGE):
        return weights
    rows = [weights] if axis is None else list(np.moveaxis(weights, axis, 0))
    kept = []
    for row in rows:
        most = clipped_magnitude(row, bits, settings.weight_range_method,
                                 settings.weight_range_shrink)  # fmt: skip
        kept.append(np.clip(row, -most, most))
    return kept[0] if axis is None else np.moveaxis(np.stack(kept), 0, axis)


def _channel_axis(node: Node) -> int | None:
    if node.op is not Op.CONV_TRANSPOSE:
        return 0
    return 1 if int(node.attributes.get("groups", 1)) == 1 else None


def _constants(graph: Graph, node: Node, settings: CodeSettings, done: Assignment) -> None:
    """Quantize constants that stand where tensors could."""
    numerics = settings.numerics
    rule: TensorRule = numerics.weights if node.op in _PER_TENSOR else numerics.activations
    for place in range(len(node.inputs)):
        values = _constant(graph, node, place)
        if values is None:
            continue
        lo, hi = float(values.min(initial=0.0)), float(values.max(initial=0.0))
        bits = settings.precision.of_tensor(node.outputs[0])
        fmt = formats.cover(lo, hi, rule, bits, formats.is_signed(rule, lo >= 0))
        codes = np.array(quantize(values, fmt, rule.rounding))
        codes.flags.writeable = False
        done.constants[node.name, place] = Codes(codes, fmt)


def _constant(graph: Graph, node: Node, place: int) -> FloatArray | None:
    found = graph.constants.get(node.inputs[place]) if place < len(node.inputs) else None
    return None if found is None else np.asarray(found, np.float64)
