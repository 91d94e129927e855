"""Real factors between scales, and the integer steps that apply them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import FloatArray, Format, IntArray, Rounding, Scale
from nibblefit.fixed.steps import (
    Add,
    Clamp,
    Divide,
    Mul,
    MulFloat32,
    RoundFloat32,
    ShiftLeft,
    ShiftRight,
    Step,
    Steps,
    float_param,
    int_param,
)
from nibblefit.ir.numerics import Requantization, RequantRule

#: Width of the multiplier where a shift-only target needs a factor that is no power of two.
SLOPE_BITS = 15
#: Largest shift behind a multiplier; larger ones would be zero anyway.
_MOST_SHIFT = 62


@dataclass(frozen=True, slots=True)
class Factor:
    """A positive or negative real number per tensor or per channel.

    Attributes:
        values: float64, shape () or one that broadcasts against the value without batch axis.
        exponents: Set where every value is exactly ``2 ** exponent``, same shape.
    """

    values: FloatArray
    exponents: IntArray | None = None

    @staticmethod
    def of_scale(scale: Scale, axis: int | None = None, rank: int = 0) -> Factor:
        """Return a scale as a factor; `axis` counts the batch axis, `rank` does not."""
        values = scale.values()
        exponents = None if scale.frac is None else -np.array(scale.frac, np.int64)
        if len(values) == 1:
            return Factor(values[0], None if exponents is None else exponents[0])
        shape = [1] * rank
        shape[(axis or 1) - 1] = len(values)
        return Factor(
            values.reshape(shape), None if exponents is None else exponents.reshape(shape)
        )

    @staticmethod
    def of(value: float | FloatArray) -> Factor:
        """Return any number as a factor; powers of two are recognised."""
        values = np.asarray(value, np.float64)
        mantissas, exponents = np.frexp(values)
        exact = bool(np.all(mantissas == 0.5))
        return Factor(values, exponents.astype(np.int64) - 1 if exact else None)

    def __mul__(self, other: Factor) -> Factor:
        exact = self.exponents is not None and other.exponents is not None
        return Factor(self.values * other.values,
                      self.exponents + other.exponents if exact else None)  # type: ignore[operator]  # fmt: skip

    def __truediv__(self, other: Factor) -> Factor:
        exact = self.exponents is not None and other.exponents is not None
        return Factor(self.values / other.values,
                      self.exponents - other.exponents if exact else None)  # type: ignore[operator]  # fmt: skip


def rescale(factor: Factor, rule: RequantRule, where: str) -> Steps:
    """Return steps that multiply an integer by `factor` and round as the rule says."""
    if bool(np.all(factor.values == 1.0)):
        return ()
    if rule.kind is Requantization.SHIFT:
        # Real scales may still be powers of two apart; float64 quotients of such are exact.
        exact = factor if factor.exponents is not None else Factor.of(factor.values)
        if exact.exponents is not None:
            return shift(exact.exponents, rule.rounding, rule.shift_range, where)
    if rule.kind is Requantization.FLOAT32:
        return (MulFloat32(float_param(factor.values)), RoundFloat32(rule.rounding))
    if rule.kind is Requantization.RUNTIME_SHIFT:
        raise UnsupportedError(
            f"layer '{where}': shifts chosen at run time are not made by the general quantizer",
            hint="a target with RUNTIME_SHIFT implements the quantize stage itself",
        )
    bits = rule.multiplier_bits if rule.kind is Requantization.MULTIPLY_SHIFT else SLOPE_BITS
    return multiply_shift(factor.values, bits, rule.rounding)


def shift(exponents: IntArray, rounding: Rounding, legal: tuple[int, int], where: str) -> Steps:
    """Return steps that multiply by ``2 ** exponents``; right shifts must lie in `legal`."""
    right = -np.asarray(exponents, np.int64)
    if int(right.min()) < legal[0] or int(right.max()) > legal[1]:
        raise UnsupportedError(
            f"layer '{where}' needs a right shift of {int(right.min())} to {int(right.max())}; "
            f"the target shifts by {legal[0]} to {legal[1]}",
            hint="its weights or values are extremely small or large; rescale the layer",
        )
    steps: list[Step] = []
    if int(right.min()) < 0:
        steps.append(ShiftLeft(_param(np.maximum(-right, 0))))
    if int(right.max()) > 0:
        steps.append(ShiftRight(_param(np.maximum(right, 0)), rounding))
    return tuple(steps)


def multiply_shift(values: FloatArray, bits: int, rounding: Rounding) -> Steps:
    """Return ``Mul`` and a shift whose quotient is within 2^−bits (relative) of `values`."""
    mantissas, exponents = np.frexp(np.asarray(values, np.float64))
    multipliers = np.rint(mantissas * 2.0**bits).astype(np.int64)
    right = bits - exponents.astype(np.int64)
    # A mantissa that rounds up to one needs a bit more; a tiny factor loses low bits.
    over = np.abs(multipliers) >= 1 << bits
    multipliers, right = np.where(over, multipliers >> 1, multipliers), right - over
    excess = np.clip(right - _MOST_SHIFT, 0, _MOST_SHIFT)
    multipliers, right = multipliers >> excess, np.minimum(right, _MOST_SHIFT)
    return (Mul(_param(multipliers)), *shift(-right, rounding, (-_MOST_SHIFT, _MOST_SHIFT), ""))


def divided(factor: Factor, divisor: int | IntArray, rounding: Rounding, rule: RequantRule,
            where: str) -> Steps:  # fmt: skip
    """Return steps that multiply a sum by ``factor / divisor`` with one rounding.

    The divisor is a window size: an int, or an array that broadcasts without batch axis;
    `rounding` is that of the quotient where the factor is a power of two.
    """
    if factor.exponents is None or rule.kind is Requantization.FLOAT32:
        average = Factor(factor.values / np.asarray(divisor, np.float64))
        return rescale(average, rule, where)
    exponent = int(factor.exponents)
    left, right = max(exponent, 0), max(-exponent, 0)
    lift: Steps = (ShiftLeft(left),) if left else ()
    if isinstance(divisor, int) and divisor & (divisor - 1) == 0:
        total = divisor.bit_length() - 1 - exponent
        return shift(np.array(-total), rounding, (-_MOST_SHIFT, _MOST_SHIFT), where)
    return (*lift, Divide(int_param(divisor * (1 << right)), rounding))


def finish(fmt: Format, lo: int | None = None, hi: int | None = None) -> Steps:
    """Return the last steps of a layer: add the zero point, saturate, rectify.

    Args:
        fmt: Format of the output.
        lo: Code of a rectifier's lower bound, if it has one.
        hi: Code of a rectifier's upper bound, if it has one.
    """
    zero = fmt.zero_point[0]
    low = fmt.lo if lo is None else max(lo, fmt.lo)
    high = fmt.hi if hi is None else min(hi, fmt.hi)
    clamp = Clamp(low, max(low, high))
    return (Add(zero), clamp) if zero else (clamp,)


def without_zero(fmt: Format) -> Steps:
    """Return the steps that subtract a tensor's zero point."""
    return (Add(-fmt.zero_point[0]),) if fmt.zero_point[0] else ()


def _param(values: IntArray) -> int | IntArray:
    array = np.asarray(values)
    first = int(array.reshape(-1)[0])
    return first if bool(np.all(array == first)) else int_param(array)
