"""Every number format of a network, and the codes of its constants, before anything is lowered.

Together with the float topology and the target's numerics, an assignment decides every bit; it is
also what a file format has to carry for a graph to be rebuilt from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import FloatArray, Format, IntArray, Rounding, Scale
from nibblefit.fixed.quantize import quantize
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.numerics import Numerics, ScaleKind, TensorRule
from nibblefit.ir.ops import ELEMENTWISE, WEIGHTED, Op
from nibblefit.quantization import formats
from nibblefit.quantization.align import common_scale, product_scale, sum_bits
from nibblefit.quantization.histogram import Histogram
from nibblefit.quantization.ranges import choose_format
from nibblefit.quantization.settings import LayerSettings, Settings
from nibblefit.quantization.sign import nonnegative_tensors
from nibblefit.quantization.units import Output, Unit
from nibblefit.quantization.weights import (
    Codes,
    Limits,
    bias_limit,
    quantize_bias,
    quantize_weights,
)

#: Operators with (weights, bias) behind the first input.
AFFINE = WEIGHTED | {Op.SCALE_OFFSET}
_NOTHING_STATED: Mapping[str, Format] = frozen_mapping()


@dataclass(slots=True)
class Assignment:
    """Formats of tensors, and codes of constants per node and input position.

    Attributes:
        tensors: Format by tensor.
        constants: Codes by node and input position.
        roundings: Rounding into a node's output, where it is not the target's.
        lowest: Smallest code a tensor takes, where that is not its format's.
        reciprocals: Average pools (by node) whose window's reciprocal is a given
            ``multiplier / 2^shift``, that of the kernel; windows that reach beyond the edge are
            divided by their own size, times what that leaves of the kernel's.
    """

    tensors: dict[str, Format] = field(default_factory=dict)
    constants: dict[tuple[str, int], Codes] = field(default_factory=dict)
    roundings: dict[str, Rounding] = field(default_factory=dict)
    lowest: dict[str, int] = field(default_factory=dict)
    reciprocals: dict[str, tuple[int, int]] = field(default_factory=dict)

    def operand(self, node: Node, place: int) -> Format:
        """Return the format of one input of a node, tensor or constant."""
        codes = self.constants.get((node.name, place))
        return codes.format if codes is not None else self.tensors[node.inputs[place]]


def calibrated_tensors(graph: Graph, units: tuple[Unit, ...]) -> tuple[str, ...]:
    """Return the tensors whose values decide a format: inputs and calibrated outputs."""
    chosen = [name for unit in units if unit.output is Output.CALIBRATED for name in unit.tensors]
    return tuple(dict.fromkeys((*graph.inputs, *chosen)))


def assign(graph: Graph, units: tuple[Unit, ...], numerics: Numerics,
           histograms: Mapping[str, Histogram], settings: Settings, *,
           stated: Mapping[str, Format] = _NOTHING_STATED) -> Assignment:  # fmt: skip
    """Choose every format and quantize every constant.

    The graph is folded; every tensor of `calibrated_tensors` has a histogram, or a stated format,
    which comes first.

    Raises:
        UnsupportedError: A layer asks for a width that the target does not have.
    """
    return _Assigner(graph, numerics, histograms, settings, stated).run(units)


class _Assigner:
    def __init__(self, graph: Graph, numerics: Numerics, histograms: Mapping[str, Histogram],
                 settings: Settings, stated: Mapping[str, Format]) -> None:  # fmt: skip
        self.graph, self.numerics, self.settings = graph, numerics, settings
        self.histograms, self.stated = histograms, stated
        inputs = {n for n in graph.inputs if n in histograms and histograms[n].lo >= 0}
        self.nonnegative = nonnegative_tensors(graph, inputs)
        self.done = Assignment()

    def run(self, units: tuple[Unit, ...]) -> Assignment:
        for name in self.graph.inputs:
            own = self.settings.of(name)
            self.done.tensors[name] = self._calibrated(name, self.numerics.inputs, own)
        for unit in units:
            self._assign(unit)
        return self.done

    def _assign(self, unit: Unit) -> None:
        own = self.settings.of(unit.layer)
        if unit.node.op in ELEMENTWISE or unit.node.op is Op.MATMUL or unit.node.op is Op.CONCAT:
            self._quantize_operands(unit.node, own)
        out = self._output(unit, own)
        if unit.node.op in AFFINE:
            self._quantize_affine(unit.node, out, own)
        elif unit.node.op is Op.PRELU:
            self._quantize_slope(unit.node, own)
        if out is None:
            out = raw_format(unit.node, self.graph, self.done, self.numerics)
        self.done.tensors.update(dict.fromkeys(unit.tensors, out))

    def _output(self, unit: Unit, own: LayerSettings) -> Format | None:
        if unit.output is Output.RAW:
            return None
        if unit.output is Output.KEPT:
            return self.done.operand(unit.node, 0)
        if unit.output is Output.FIXED:
            return fixed_format(unit.node, self.numerics, own.activation_bits)
        return self._calibrated(unit.tensors[0], self.numerics.activations, own)

    def _calibrated(self, tensor: str, rule: TensorRule, own: LayerSettings) -> Format:
        if tensor in self.stated:
            return self.stated[tensor]
        bits = formats.width(rule, own.activation_bits, tensor)
        signed = formats.is_signed(rule, tensor in self.nonnegative)
        return choose_format(self.histograms[tensor], own.choice,
                             lambda lo, hi: formats.cover(lo, hi, rule, bits, signed))  # fmt: skip

    def _constant(self, node: Node, place: int) -> FloatArray | None:
        found = self.graph.constants.get(node.inputs[place]) if place < len(node.inputs) else None
        return None if found is None else np.asarray(found, np.float64)

    def _quantize_operands(self, node: Node, own: LayerSettings) -> None:
        """Quantize constants that stand where tensors could, per tensor and symmetric."""
        rule = self.numerics.weights if node.op is Op.MATMUL else self.numerics.activations
        bits = formats.width(rule, own.weight_bits if node.op is Op.MATMUL else None, node.name)
        for place in range(len(node.inputs)):
            values = self._constant(node, place)
            if values is not None:
                self.done.constants[node.name, place] = _per_tensor(values, rule, bits)

    def _quantize_slope(self, node: Node, own: LayerSettings) -> None:
        slope = self._constant(node, 1)
        rule = self.numerics.weights
        bits = formats.width(rule, own.weight_bits, node.name)
        if slope is not None:
            self.done.constants[node.name, 1] = _per_tensor(slope, rule, bits)

    def _quantize_affine(self, node: Node, out: Format | None, own: LayerSettings) -> None:
        """Quantize weights and bias."""
        weights, bias = self._constant(node, 1), self._constant(node, 2)
        rule, x = self.numerics.weights, self.done.operand(node, 0)
        accumulator = self.numerics.accumulator
        if weights is None:
            raise UnsupportedError(
                f"layer '{node.name}' ({node.op.value}) takes its weights from another layer",
                hint="use constant weights, or matmul for products of two tensors",
            )
        channels = _channels(node, weights)
        bits = formats.width(rule, own.weight_bits, node.name)
        limits = Limits(
            float(x.scale.values()[0]), np.zeros(channels) if bias is None else bias,
            bias_limit(self.numerics.bias, rule.scale, accumulator.bits, signed=x.signed),
            self._frac_limits(x, out),
        )  # fmt: skip
        codes = quantize_weights(weights, _channel_axis(node, rule), rule, bits, limits)
        self.done.constants[node.name, 1] = codes
        if bias is not None:
            scale = product_scale(x.scale, codes.format.scale)
            self.done.constants[node.name, 2] = quantize_bias(
                bias, scale, self.numerics.bias, signed=x.signed
            )

    def _frac_limits(self, x: Format, out: Format | None) -> tuple[int, int]:
        """Return the fractional bits of weights for which the requantizing shift is legal."""
        whole = (-formats.FRAC_LIMIT, formats.FRAC_LIMIT)
        if out is None or x.scale.frac is None or out.scale.frac is None:
            return whole
        lowest, highest = self.numerics.requant.shift_range
        base = out.scale.frac[0] - x.scale.frac[0]
        lo, hi = max(whole[0], base + lowest), min(whole[1], base + highest)
        return (lo, hi) if lo <= hi else whole


def fixed_format(node: Node, numerics: Numerics, bits: int | None = None) -> Format:
    """Return the output format of softmax (0 … 1) and argmax (an index)."""
    if node.op is Op.ARGMAX:
        return Format(32)
    rule = numerics.activations
    width = formats.width(rule, bits, node.name)
    signed = formats.is_signed(rule, True)
    frac = width - 1 if signed and rule.symmetric else width
    real = rule.scale is ScaleKind.REAL
    scale = Scale.real(2.0**-frac) if real else Scale.power_of_two(frac)
    zero = -(1 << (width - 1)) if signed and not rule.symmetric else 0
    return Format(width, signed, scale, (zero,))


def output_channel_axis(node: Node, graph: Graph) -> int:
    """Return the channel axis of a layer's output, batch axis counted."""
    return len(graph.shapes[node.output]) if node.op is Op.LINEAR else 1


def raw_format(node: Node, graph: Graph, known: Assignment,
               numerics: Numerics) -> Format:  # fmt: skip
    """Return the format of a sum before requantization: the accumulator and its scale."""
    bits = numerics.accumulator.bits
    if node.op in AFFINE:
        scale = product_scale(known.operand(node, 0).scale, known.operand(node, 1).scale)
        axis = output_channel_axis(node, graph) if len(scale) > 1 else None
        return Format(bits, True, scale, (0,), axis)
    operands = [known.operand(node, place) for place in range(len(node.inputs))]
    if node.op in (Op.ADD, Op.SUB):
        width = numerics.activations.bits[0]
        scale = common_scale(operands, sum_bits(numerics), numerics.multipliers.sums.get(width))
    else:
        scale = product_scale(*(operand.scale for operand in operands))
    axis = next((operand.axis for operand in operands if operand.axis is not None), None)
    return Format(bits, True, scale, (0,), axis)


def complete(graph: Graph, units: tuple[Unit, ...], numerics: Numerics,
             given: Assignment) -> Assignment:  # fmt: skip
    """Return an assignment with the formats that follow from the chosen ones.

    `given` holds the constants' codes and the formats of inputs and calibrated tensors, as a file
    carries them; kept, raw and fixed formats are added.
    """
    done = replace(given, tensors=dict(given.tensors), constants=dict(given.constants))
    for unit in units:
        if unit.output is Output.KEPT:
            found = done.operand(unit.node, 0)
        elif unit.output is Output.RAW:
            found = raw_format(unit.node, graph, done, numerics)
        elif unit.node.op is Op.ARGMAX:
            found = fixed_format(unit.node, numerics)
        else:
            found = given.tensors[unit.tensors[0]]
        done.tensors.update(dict.fromkeys(unit.tensors, found))
    return done


def _per_tensor(values: FloatArray, rule: TensorRule, bits: int) -> Codes:
    lo, hi = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    signed = formats.is_signed(rule, lo >= 0)
    fmt = formats.cover(lo, hi, rule, bits, signed)
    return Codes(_codes(values, fmt, rule), fmt)


def _codes(values: FloatArray, fmt: Format, rule: TensorRule) -> IntArray:
    codes = np.array(quantize(values, fmt, rule.rounding))
    codes.flags.writeable = False
    return codes


def _channels(node: Node, weights: FloatArray) -> int:
    if node.op is Op.CONV_TRANSPOSE:
        return int(weights.shape[1]) * int(node.attributes.get("groups", 1))
    return int(weights.shape[0])


def _channel_axis(node: Node, rule: TensorRule) -> int | None:
    if not rule.per_channel:
        return None
    if node.op is not Op.CONV_TRANSPOSE:
        return 0
    # Output channels of a grouped transposed convolution do not lie along one weight axis.
    return 1 if int(node.attributes.get("groups", 1)) == 1 else None
