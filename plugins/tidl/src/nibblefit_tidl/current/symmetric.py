"""Formats and codes of the symmetric modes: shifts alone between any two scales.

The rule of this generation: the accumulator of a layer has the product of input and weight step,
and the output the smallest power of two times that which holds its range. So without powers of two
for scales, an output's step still is ``input step · weight step · 2^n``. Source: TIDL importer
(2025), quantizer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import FloatArray, Format, Scale
from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op
from nibblefit.quantization.align import common_scale, product_scale, sum_bits
from nibblefit.quantization.assign import AFFINE, Assignment, fixed_format
from nibblefit.quantization.lowering.pooling import reciprocal_bits
from nibblefit.quantization.units import Output, Unit
from nibblefit.quantization.weights import quantize_bias
from nibblefit_tidl.current.bias_room import BiasRoom, missing_bits
from nibblefit_tidl.current.modes import PER_CHANNEL, WEIGHT_RANGE
from nibblefit_tidl.current.ranges import Range
from nibblefit_tidl.current.settings import CodeSettings
from nibblefit_tidl.current.weights import clipped_magnitude, codes_of, scale_of, symmetric_step

_SUMS = frozenset({Op.ADD, Op.SUB})
_AVERAGES = frozenset({Op.AVG_POOL, Op.GLOBAL_AVG_POOL})
#: Operators that keep their input's scale; what cannot be negative becomes unsigned.
_KEEPERS = frozenset({Op.RELU, Op.CLIP, Op.ABS, Op.LEAKY_RELU, Op.PRELU})
_FLOAT_NOISE = 2.0**-40
#: Functions with known bounds, and those.
_BOUNDED: Mapping[Op, Range] = {
    Op.SIGMOID: (0.0, 1.0), Op.HARD_SIGMOID: (0.0, 1.0), Op.TANH: (-1.0, 1.0)
}  # fmt: skip


def assign_symmetric(graph: Graph, parts: tuple[Unit, ...], ranges: Mapping[str, Range],
                     settings: CodeSettings) -> tuple[Assignment, list[str]]:  # fmt: skip
    """Return all formats and codes, and what was changed to make biases fit, one line each.

    A bias that does not fit lowers the step of the layer's input (and the next pass starts from
    there), unless the given ranges are to be trusted; what is missing then, the weights give.
    """
    room = BiasRoom(settings.mode)
    while True:
        done = _Assigner(graph, ranges, settings, room)
        done.run(parts)
        if not room.changed:
            return done.result, room.notes
        room.next_pass()


class _Assigner:
    def __init__(self, graph: Graph, ranges: Mapping[str, Range], settings: CodeSettings,
                 room: BiasRoom) -> None:  # fmt: skip
        self.graph, self.ranges, self.settings, self.room = graph, ranges, settings, room
        self.mode, self.numerics = settings.mode, settings.numerics
        self.result = Assignment()
        #: Tensor → the one whose scale it keeps, and tensors whose scale nothing changes.
        self.origins: dict[str, str] = {}
        self.fixed = set(graph.inputs)

    def run(self, parts: tuple[Unit, ...]) -> None:
        for name in self.graph.inputs:
            self.result.tensors[name] = self._covering(name)
        for unit in parts:
            self._constants(unit.node)
            fmt = self._output(unit)
            for name in unit.tensors:
                self.result.tensors[name] = fmt
                if unit.output is Output.KEPT or unit.node.op in _KEEPERS:
                    first = unit.node.inputs[0]
                    self.origins[name] = self.origins.get(first, first)
                if unit.output is Output.FIXED:
                    self.fixed.add(name)

    def _output(self, unit: Unit) -> Format:
        node, op = unit.node, unit.node.op
        if op in AFFINE:
            return self._affine(unit)
        if unit.output is Output.KEPT:
            return self.result.operand(node, 0)
        if unit.output is Output.FIXED:
            return fixed_format(node, self.numerics, self._bits(unit))
        if op in _KEEPERS:
            return self._kept(unit)
        if op in _BOUNDED or op is Op.HARD_SWISH:
            return self._covering(unit.tensors[0], _BOUNDED.get(op))
        operands = [self.result.operand(node, place) for place in range(len(node.inputs))]
        if op is Op.CONCAT:
            return self._coarsest(unit, operands)
        if op in _SUMS:
            bits = self.numerics.multipliers.sums.get(self._bits(unit))
            scale = common_scale(operands, sum_bits(self.numerics), bits)
        elif op in _AVERAGES:
            scale = _finer(operands[0].scale, reciprocal_bits(node, self.numerics.multipliers,
                                                              self._bits(unit)))  # fmt: skip
        elif op in (Op.MUL, Op.MATMUL):
            scale = product_scale(*(operand.scale for operand in operands))
        else:
            raise UnsupportedError(
                f"layer '{node.name}' ({op.value}) has no symmetric form",
                hint="use quantization_scale_type 4 or another operator",
            )
        return self._shifted(unit, scale)

    def _bits(self, unit: Unit) -> int:
        return self.settings.precision.of_tensor(unit.tensors[0])

    def _covering(self, name: str, given: Range | None = None) -> Format:
        """Return the format whose largest code is the range's end."""
        lo, hi = given or self.ranges[name]
        bits, signed = self.settings.precision.of_tensor(name), lo < 0
        value_bits = bits - signed
        largest = max(-lo, hi)
        if given is not None or self.mode.power_of_two:
            step = symmetric_step(largest, value_bits + 1, power_of_two=self.mode.power_of_two)
        else:
            step = largest / (2.0**value_bits - 1) if largest > 0 else 1.0
        step *= 2.0 ** self.room.lowered.get(name, 0)
        return Format(bits, signed, scale_of(step, power_of_two=self.mode.power_of_two))

    def _shifted(self, unit: Unit, accumulator: Scale) -> Format:
        """Return the output format: the accumulator's step times the power of two that fits."""
        name, bits = unit.tensors[0], self._bits(unit)
        lo, hi = self.ranges[name]
        shift = fitting_shift(float(accumulator.values().max()), (lo, hi), bits)
        shift += self.room.lowered.get(name, 0)
        # Channels have steps of their own, powers of two below the first one's.
        return Format(bits, lo < 0, _coarser(accumulator, shift))

    def _kept(self, unit: Unit) -> Format:
        given = self.result.operand(unit.node, 0)
        signed = given.signed and unit.node.op not in (Op.RELU, Op.ABS) and self._falls(unit)
        return Format(given.bits, signed, given.scale)

    def _falls(self, unit: Unit) -> bool:
        lo = unit.node.attributes.get("lo")
        return not (unit.node.op is Op.CLIP and lo is not None and lo >= 0)

    def _coarsest(self, unit: Unit, operands: list[Format]) -> Format:
        coarsest = max(operands, key=lambda operand: float(operand.scale.values()[0]))
        shift = self.room.lowered.get(unit.tensors[0], 0)
        signed = any(operand.signed for operand in operands)
        # An unsigned part loses its top bit among signed ones.
        shift += any(not o.signed and signed and o.scale == coarsest.scale for o in operands)
        return Format(self._bits(unit), signed, _coarser(coarsest.scale, int(shift)))

    def _affine(self, unit: Unit) -> Format:
        """Quantize weights and bias, and return the output's format."""
        node, x = unit.node, self.result.operand(unit.node, 0)
        weights = self._values(node, 1)
        if weights is None:
            raise UnsupportedError(
                f"layer '{node.name}' ({node.op.value}) takes its weights from another layer",
                hint="use constant weights, or matmul for products of two tensors",
            )
        bias, bits = self._values(node, 2), self.settings.precision.of_weights(node.name)
        steps = self._weight_steps(node, weights, bits)
        if bias is not None:
            most = self.mode.largest_bias(max(x.bits, bits), signed=x.signed)
            steps = steps * 2.0 ** self._missing_bits(node, x, steps, bias, most)
        bound = _upper_bound(unit)
        if bound is not None:
            steps = steps * _bend(bound, self._bits(unit) - (self.ranges[unit.tensors[0]][0] < 0),
                                  float(x.scale.values()[0]) * float(steps.max()),
                                  power_of_two=self.mode.power_of_two)  # fmt: skip
        scale = scale_of(steps, power_of_two=self.mode.power_of_two)
        axis = 0 if len(scale) > 1 else None
        codes = codes_of(weights, Format(bits, True, scale, (0,), axis))
        self.result.constants[node.name, 1] = codes
        accumulator = product_scale(x.scale, scale)
        if bias is not None:
            self.result.constants[node.name, 2] = quantize_bias(
                bias, accumulator, self.mode.bias_rule(max(x.bits, bits)), signed=x.signed
            )
        if len(accumulator) > 1:
            accumulator = product_scale(x.scale, scale_of(
                float(steps.max()), power_of_two=self.mode.power_of_two))  # fmt: skip
        return self._shifted(unit, accumulator)

    def _weight_steps(self, node: Node, weights: FloatArray, bits: int) -> FloatArray:
        """Return the step of all weights, or one per channel, powers of two below the largest."""
        rows = [weights]
        if self.mode.has(PER_CHANNEL) and _is_depthwise(self.graph, node):
            rows = list(weights)
        magnitudes = [self._magnitude(row, bits) for row in rows]
        steps = [symmetric_step(m, bits, power_of_two=self.mode.power_of_two) for m in magnitudes]
        largest = max((s for s, m in zip(steps, magnitudes) if m > 0), default=1.0)
        finer = [
            min(31, math.floor(math.log2(largest / step))) if magnitude > 0 else 0
            for step, magnitude in zip(steps, magnitudes)
        ]
        return largest * np.exp2(-np.array(finer, np.float64))

    def _magnitude(self, weights: FloatArray, bits: int) -> float:
        if not self.mode.has(WEIGHT_RANGE):
            return float(np.abs(weights).max(initial=0.0))
        return clipped_magnitude(weights, bits, self.settings.weight_range_method,
                                 self.settings.weight_range_shrink)  # fmt: skip

    def _missing_bits(self, node: Node, x: Format, steps: FloatArray, bias: FloatArray,
                      most: float) -> int:  # fmt: skip
        """Return how many bits the weights give up so that the bias fits."""
        accumulator = float(x.scale.values()[0]) * steps
        excess = missing_bits(bias, accumulator, most)
        origin = self.origins.get(node.inputs[0], node.inputs[0])
        return self.room.ask(node.name, "" if origin in self.fixed else origin, excess)

    def _constants(self, node: Node) -> None:
        """Quantize constants that stand where tensors could."""
        if node.op in AFFINE:
            return
        for place in range(len(node.inputs)):
            values = self._values(node, place)
            if values is None:
                continue
            bits = self.settings.precision.of_tensor(node.outputs[0])
            step = symmetric_step(float(np.abs(values).max(initial=0.0)), bits,
                                  power_of_two=self.mode.power_of_two)  # fmt: skip
            fmt = Format(bits, True, scale_of(step, power_of_two=self.mode.power_of_two))
            self.result.constants[node.name, place] = codes_of(values, fmt)

    def _values(self, node: Node, place: int) -> FloatArray | None:
        found = self.graph.constants.get(node.inputs[place]) if place < len(node.inputs) else None
        return None if found is None else np.asarray(found, np.float64)


def fitting_shift(step: float, covered: Range, bits: int) -> int:
    """Return the smallest right shift n ≥ 0 for which a range fits codes of step ``step · 2^n``.

    What exceeds the codes by no more than the rounding of float64 still fits.
    """
    lo, hi = covered
    needed = max(-lo, hi) / (step * 2.0 ** (bits - (lo < 0))) * (1.0 - _FLOAT_NOISE)
    if needed <= 1.0:
        return 0
    mantissa, exponent = math.frexp(needed)
    return exponent - 1 if mantissa == 0.5 else exponent


def _bend(bound: float, value_bits: int, step: float, *, power_of_two: bool) -> float:
    """Return the factor ≥ 1 on weight steps that lets a shift land on the bound's own scale."""
    wanted = symmetric_step(bound, value_bits + 1, power_of_two=power_of_two)
    if power_of_two or wanted <= step:
        return 1.0
    return wanted / step / 2.0 ** math.floor(math.log2(wanted / step))


def _upper_bound(unit: Unit) -> float | None:
    bounds = [node.attributes.get("hi") for node in unit.rectifiers if node.op is Op.CLIP]
    return min((float(bound) for bound in bounds if bound is not None), default=None)


def _is_depthwise(graph: Graph, node: Node) -> bool:
    groups = int(node.attributes.get("groups", 1))
    return node.op is Op.CONV and groups > 1 and groups == graph.shapes[node.inputs[0]][0]


def _coarser(scale: Scale, bits: int) -> Scale:
    if scale.frac is not None:
        return Scale.power_of_two(*(frac - bits for frac in scale.frac))
    return Scale.real(*(step * 2.0**bits for step in scale.values().tolist()))


def _finer(scale: Scale, bits: int | None) -> Scale:
    return _coarser(scale, -(bits or 0))
