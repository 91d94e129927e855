"""Codes of weights, biases and other constants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nibblefit.fixed.formats import FloatArray, Format, IntArray, Scale
from nibblefit.fixed.quantize import quantize
from nibblefit.ir.numerics import BiasRule, ScaleKind, Signedness, TensorRule
from nibblefit.quantization import formats

#: A bias may fill the accumulator to half, so that the products still have room.
_BIAS_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Codes:
    """A quantized constant: its integers, read-only, and what they mean."""

    values: IntArray
    format: Format


@dataclass(frozen=True, slots=True)
class Limits:
    """What the layer around some weights demands of their scale.

    Attributes:
        input_step: Real value of one input step.
        bias: Bias in real numbers (channels,), zeros if there is none.
        bias_limit: Largest bias code in the accumulator's scale.
        frac: Smallest and largest fractional bits for which the requantizing shift is legal;
            power-of-two scales only.
    """

    input_step: float
    bias: FloatArray
    bias_limit: float
    frac: tuple[int, int] = (-formats.FRAC_LIMIT, formats.FRAC_LIMIT)


def bias_limit(rule: BiasRule, kind: ScaleKind, accumulator_bits: int, *,
               signed: bool = True) -> float:  # fmt: skip
    """Return the largest bias, counted in steps of the accumulator.

    `signed` says whether the layer's input is.
    """
    most = _BIAS_SHARE * 2.0 ** (accumulator_bits - 1)
    if rule.factors is not None:
        return min((2.0 ** (rule.bits - 1) - 1) * rule.factors[signed], most)
    if kind is ScaleKind.POWER_OF_TWO and rule.shift is None:
        return most  # such a bias chooses its own shift
    return min((2.0 ** (rule.bits - 1) - 1) * 2.0 ** (rule.shift or 0), most)


def quantize_weights(values: FloatArray, axis: int | None, rule: TensorRule, bits: int,
                     limits: Limits) -> Codes:  # fmt: skip
    """Return weight codes.

    Power-of-two scales and widths of 6 bits or less take the step with the least squared error;
    others cover the largest weight. A scale becomes coarser where the bias would not fit.
    `axis` is that of the output channels for one scale each, None for one per tensor.
    """
    if not rule.symmetric:
        return _asymmetric(values, axis, rule, bits, limits)
    rows = _rows(values, axis)
    nonnegative = bool(values.size == 0 or values.min() >= 0)
    signed = formats.is_signed(rule, nonnegative)
    lowest, highest = formats.bounds(rule, bits, signed)
    steps = _covering(rows, lowest, highest)
    if rule.scale is ScaleKind.POWER_OF_TWO or bits <= 6:
        steps = _least_error(rows, steps, lowest, highest, rule.scale)
    scale = _limited(steps, rule.scale, limits)
    return _coded(values, Format(bits, signed, scale, (0,), axis if len(scale) > 1 else None),
                  rule, lowest, highest)  # fmt: skip


def _rows(values: FloatArray, axis: int | None) -> FloatArray:
    """Return one row per channel, or one row of everything."""
    channels = values.shape[axis] if axis is not None else 1
    return np.moveaxis(values, axis or 0, 0).reshape(channels, -1)


def _covering(rows: FloatArray, lowest: int, highest: int) -> FloatArray:
    """Return the smallest step per row at which every value fits."""
    top = np.maximum(rows.max(axis=1, initial=0.0), 0.0) / highest
    bottom = np.maximum(-rows.min(axis=1, initial=0.0), 0.0) / -lowest if lowest < 0 else 0.0
    return np.asarray(np.maximum(top, bottom))


def _least_error(rows: FloatArray, covering: FloatArray, lowest: int, highest: int,
                 kind: ScaleKind) -> FloatArray:  # fmt: skip
    """Return the step per row with the least squared error, at most the covering one."""
    if kind is ScaleKind.POWER_OF_TWO:
        covering = np.array([2.0 ** -formats.frac_of(step) for step in covering.tolist()])
        shrink = [1.0, 0.5] if highest > 7 else [1.0, 0.5, 0.25]
    else:
        shrink = np.linspace(1.0, 0.4, 13).tolist()
    best, least = covering, np.full(len(rows), np.inf)
    for factor in shrink:
        steps = np.where(covering > 0, covering * factor, 1.0)
        # In units of the step: code minus value, clipping included.
        scaled = rows / steps[:, None]
        scaled -= np.clip(np.rint(scaled), lowest, highest)
        error = np.einsum("ij,ij->i", scaled, scaled) * steps**2
        best, least = np.where(error < least, steps, best), np.minimum(error, least)
    return np.where(covering > 0, best, 0.0)


def _limited(steps: FloatArray, kind: ScaleKind, limits: Limits) -> Scale:
    """Return the scales, coarser where the bias or the shift demands it."""
    bias = np.abs(limits.bias)
    bias = bias if len(steps) > 1 else bias.max(initial=0.0, keepdims=True)
    floor = bias / (limits.bias_limit * limits.input_step) if bias.size else 0.0
    if len(steps) > 1:
        # A dead channel has no step of its own; its bias decides, or its neighbours do.
        steps = np.where(steps > 0, steps, np.where(floor > 0, 0.0, steps.max(initial=0.0)))
    steps = np.maximum(steps, floor)
    if kind is ScaleKind.POWER_OF_TWO:
        fracs = [formats.frac_of(step) for step in steps.tolist()]
        return Scale.power_of_two(*(int(np.clip(f, *limits.frac)) for f in fracs))
    return formats.channel_scales(kind, steps.tolist())


def _asymmetric(values: FloatArray, axis: int | None, rule: TensorRule, bits: int,
                limits: Limits) -> Codes:  # fmt: skip
    rows = _rows(values, axis)
    signed = rule.signedness is Signedness.SIGNED
    lowest, highest = formats.bounds(rule, bits, signed)
    lo = np.minimum(rows.min(axis=1, initial=0.0), 0.0)
    hi = np.maximum(rows.max(axis=1, initial=0.0), 0.0)
    scale = _limited((hi - lo) / (highest - lowest), rule.scale, limits)
    zeros = np.clip(np.rint(lowest - lo / scale.values()), lowest, highest).astype(int)
    several = len(scale) > 1
    fmt = Format(bits, signed, scale, tuple(zeros.tolist()), axis if several else None)
    return _coded(values, fmt, rule, lowest, highest)


def _coded(values: FloatArray, fmt: Format, rule: TensorRule, lowest: int,
           highest: int) -> Codes:  # fmt: skip
    codes = np.clip(quantize(values, fmt, rule.rounding), lowest, highest)
    codes.flags.writeable = False
    return Codes(codes, fmt)


def quantize_bias(values: FloatArray, accumulator: Scale, rule: BiasRule, *,
                  signed: bool = True) -> Codes:  # fmt: skip
    """Return bias codes.

    Their scale is the accumulator's, times 2^shift where the rule has a fixed shift. Power-of-two
    biases that would not fit take the finest scale that does, joined by a left shift. Where the
    rule has factors, the scale is the accumulator's times the smallest integer that makes the
    largest bias fit; `signed` says whether the layer's input is.
    """
    scale = _bias_scale(values, accumulator, rule)
    if rule.factors is not None:
        scale = _multiplied(values, accumulator, rule, rule.factors[signed])
    fmt = Format(rule.bits, True, scale, (0,), 0 if len(accumulator) > 1 else None)
    codes = np.array(quantize(values, fmt, rule.rounding))
    codes.flags.writeable = False
    return Codes(codes, fmt)


def _multiplied(values: FloatArray, accumulator: Scale, rule: BiasRule, most: int) -> Scale:
    """Return the accumulator's scale times one integer of 1 … `most` for all channels."""
    steps = accumulator.values()
    needed = float(np.max(np.abs(values) / steps, initial=0.0)) / (2.0 ** (rule.bits - 1) - 1)
    factor = int(np.clip(np.ceil(needed), 1, most))
    return Scale.real(*(steps * factor).tolist())


def _bias_scale(values: FloatArray, accumulator: Scale, rule: BiasRule) -> Scale:
    if accumulator.frac is None:
        lifted = accumulator.values() * 2.0 ** (rule.shift or 0)
        return Scale.real(*lifted.tolist())
    if rule.shift is not None:
        return Scale.power_of_two(*(frac - rule.shift for frac in accumulator.frac))
    largest = np.abs(values) if len(accumulator) > 1 else np.abs(values).max(keepdims=True)
    steps = largest / (2.0 ** (rule.bits - 1) - 1)
    fracs = (formats.frac_of(s) if s > 0 else f
             for s, f in zip(steps.tolist(), accumulator.frac, strict=True))  # fmt: skip
    return Scale.power_of_two(*(min(a, b) for a, b in zip(accumulator.frac, fracs, strict=True)))
