"""Oracles of the numerics tests: the formulas in exact fractions, written without numpy."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

from nibblefit.fixed.formats import Rounding

HALF = Fraction(1, 2)
INT64_LO, INT64_HI = -(2**63), 2**63 - 1


def rounded(x: Fraction, rounding: Rounding) -> int:
    """Return x rounded by the formula in the manual's table."""
    if rounding is Rounding.FLOOR:
        return math.floor(x)
    if rounding is Rounding.TOWARD_ZERO:
        return math.trunc(x)
    if rounding is Rounding.HALF_UP:
        return math.floor(x + HALF)
    if rounding is Rounding.HALF_AWAY:
        return math.floor(abs(x) + HALF) * (1 if x >= 0 else -1)
    if rounding is Rounding.HALF_TOWARD_ZERO:
        return math.ceil(abs(x) - HALF) * (1 if x >= 0 else -1)
    low = math.floor(x)
    if x - low != HALF:
        return low if x - low < HALF else low + 1
    return low if low % 2 == 0 else low + 1


def float32(x: Fraction) -> Fraction:
    """Return x rounded to a 24-bit significand, half to even; normal numbers only."""
    if x == 0:
        return x
    exponent = math.floor(math.log2(abs(x)))
    while abs(x) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while abs(x) < Fraction(2) ** exponent:
        exponent -= 1
    ulp = Fraction(2) ** (exponent - 23)
    return rounded(x / ulp, Rounding.HALF_EVEN) * ulp


def clamp(x: int, lo: int, hi: int) -> int:
    """Return x held between lo and hi."""
    return lo if x < lo else hi if x > hi else x


def nested(values, *indices):
    """Return an entry of a nested list, 0 outside of it."""
    for index in indices:
        if not 0 <= index < len(values):
            return 0
        values = values[index]
    return values


def conv_nd(x, w, bias, *, strides, pads, dilations, groups, sizes_out):
    """Return one image's convolution by its definition, as {(channel, *position): value}."""
    out, per_group, axes = len(w), len(w[0]), len(strides)
    kernel = shape_of(w)[2:]
    result = {}
    for o in range(out):
        group = o // (out // groups)
        for position in itertools.product(*map(range, sizes_out)):
            total = bias[o]
            for c in range(per_group):
                for tap in itertools.product(*map(range, kernel)):
                    place = [
                        position[i] * strides[i] + tap[i] * dilations[i] - pads[i]
                        for i in range(axes)
                    ]
                    total += nested(w, o, c, *tap) * nested(x, group * per_group + c, *place)
            result[(o, *position)] = total
    return result


def conv_transpose_nd(x, w, bias, *, strides, pads, dilations, groups, sizes_out):
    """Return one image's transposed convolution by its definition: every input is spread."""
    channels, per_group, axes = len(w), len(w[0]), len(strides)
    sizes, kernel = shape_of(x)[1:], shape_of(w)[2:]
    result = {
        (o, *position): bias[o]
        for o in range(per_group * groups)
        for position in itertools.product(*map(range, sizes_out))
    }
    for c in range(channels):
        group = c // (channels // groups)
        for place in itertools.product(*map(range, sizes)):
            for o in range(per_group):
                for tap in itertools.product(*map(range, kernel)):
                    position = tuple(
                        place[i] * strides[i] + tap[i] * dilations[i] - pads[i] for i in range(axes)
                    )
                    key = (group * per_group + o, *position)
                    if key in result:
                        result[key] += nested(x, c, *place) * nested(w, c, o, *tap)
    return result


def shape_of(values) -> tuple[int, ...]:
    """Return the shape of a nested list."""
    return (len(values), *shape_of(values[0])) if isinstance(values, list) else ()
