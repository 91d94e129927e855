"""Division with a stated rounding, as passes over integer tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nibblefit.engine.ranges import FLOAT32_EXACT, FLOAT64_EXACT, Range
from nibblefit.fixed.formats import IntArray, Rounding

Pass = Callable[[Tensor, Tensor | None], Tensor]
Maker = Callable[[torch.dtype], Pass]
#: Values that the working type must hold too, and how to make the pass; None if it changes nothing.
Recipe = tuple[Sequence[Range], Maker | None]


def constant(values: IntArray, dtype: torch.dtype) -> Any:
    """Return a single value as a Python int and anything else as a tensor."""
    return int(values) if values.ndim == 0 else torch.from_numpy(np.array(values)).to(dtype)


def shift_recipe(bits: IntArray, rounding: Rounding, values: Range) -> Recipe:
    """Return the pass ``x / 2^bits``.

    A shift beyond the value's own width + 1 cannot change the result any more (0, or −1 for a
    floored negative), so wide shifts are cut there and need no wide type.
    """
    bits = np.minimum(bits, values.magnitude.bit_length() + 1)
    if not bits.any():
        return (), None
    if values.lo >= 0:
        rounding = _FOR_POSITIVE.get(rounding, rounding)
    half = np.where(bits > 0, np.int64(1) << np.maximum(bits - 1, 0), 0)
    reach = 2 * int(half.max())
    wide = Range(values.lo - reach, values.hi + reach)
    needed = () if rounding is Rounding.FLOOR else (wide,)
    return needed, lambda dtype: _SHIFTS[rounding](bits, half, dtype)


#: Roundings that agree on numbers without a sign.
_FOR_POSITIVE = {Rounding.TOWARD_ZERO: Rounding.FLOOR, Rounding.HALF_AWAY: Rounding.HALF_UP}


def _floor_shift(bits: IntArray, _: IntArray, dtype: torch.dtype) -> Pass:
    n = constant(bits, dtype)
    return lambda x, out: torch.bitwise_right_shift(x, n, out=out)


def _half_up_shift(bits: IntArray, half: IntArray, dtype: torch.dtype) -> Pass:
    n, h = constant(bits, dtype), constant(half, dtype)
    return lambda x, out: torch.add(x, h, out=out).bitwise_right_shift_(n)


def _toward_zero_shift(bits: IntArray, _: IntArray, dtype: torch.dtype) -> Pass:
    # ⌈x / 2^n⌉ = ⌊(x + 2^n − 1) / 2^n⌋, wanted for negative x only.
    n, mask, sign = constant(bits, dtype), constant((np.int64(1) << bits) - 1, dtype), _sign(dtype)
    return lambda x, _: (x >> sign).bitwise_and_(mask).add_(x).bitwise_right_shift_(n)


def _half_away_shift(bits: IntArray, half: IntArray, dtype: torch.dtype) -> Pass:
    # −⌊(−x + h) / 2^n⌋ = ⌊(x + h − 1) / 2^n⌋ because 2^n − h = h.
    n, h, sign = constant(bits, dtype), constant(half, dtype), _sign(dtype)
    minus = constant(np.where(bits > 0, np.int64(-1), np.int64(0)), dtype)
    return lambda x, _: (x >> sign).bitwise_and_(minus).add_(h).add_(x).bitwise_right_shift_(n)


def _half_toward_zero_shift(bits: IntArray, half: IntArray, dtype: torch.dtype) -> Pass:
    # ⌊(x + h − 1) / 2^n⌋ takes ties down; negative ones gain the one back and go up.
    n, sign = constant(bits, dtype), _sign(dtype)
    under = constant(np.maximum(half - 1, 0), dtype)
    one = constant((bits > 0).astype(np.int64), dtype)
    return lambda x, _: (x >> sign).bitwise_and_(one).add_(under).add_(x).bitwise_right_shift_(n)


def _half_even_shift(bits: IntArray, half: IntArray, dtype: torch.dtype) -> Pass:
    # One less than a half rounds ties down; the floored quotient's lowest bit lifts odd ones.
    n, shifted = constant(bits, dtype), (bits > 0).astype(np.int64)
    under, one = constant(half - shifted, dtype), constant(shifted, dtype)
    return lambda x, _: (x >> n).bitwise_and_(one).add_(under).add_(x).bitwise_right_shift_(n)


_SHIFTS: dict[Rounding, Callable[[IntArray, IntArray, torch.dtype], Pass]] = {
    Rounding.FLOOR: _floor_shift,
    Rounding.HALF_UP: _half_up_shift,
    Rounding.TOWARD_ZERO: _toward_zero_shift,
    Rounding.HALF_AWAY: _half_away_shift,
    Rounding.HALF_TOWARD_ZERO: _half_toward_zero_shift,
    Rounding.HALF_EVEN: _half_even_shift,
}


def _sign(dtype: torch.dtype) -> int:
    """Return the shift that leaves −1 for negative values and 0 for others."""
    return 8 * dtype.itemsize - 1


def divide_recipe(divisor: IntArray, rounding: Rounding, values: Range) -> Recipe:
    """Return the pass ``x / divisor`` for divisors of 1 and more."""
    largest = int(divisor.max()) if divisor.size else 1
    if largest == 1:
        return (), None
    if values.lo >= 0:
        rounding = _FOR_POSITIVE.get(rounding, rounding)
    halves = rounding not in (Rounding.FLOOR, Rounding.TOWARD_ZERO)
    reach = 2 * values.magnitude + largest if halves else values.magnitude
    needed = (Range(-reach, reach), Range(0, 2 * largest))
    bound = max(reach, 2 * largest)

    def make(dtype: torch.dtype) -> Pass:
        d = constant(divisor, dtype)
        return lambda x, _: _divide(x, d, rounding, bound)

    return needed, make


def _divide(x: Tensor, d: Any, rounding: Rounding, bound: int) -> Tensor:
    if rounding is Rounding.FLOOR:
        return floor_divide(x, d, bound)
    if rounding is Rounding.TOWARD_ZERO:
        return floor_divide(x.abs(), d, bound).mul_(x.sign())
    if rounding is Rounding.HALF_UP:
        return floor_divide(x * 2 + d, d * 2, bound)
    if rounding is Rounding.HALF_AWAY:
        return floor_divide(x.abs() * 2 + d, d * 2, bound).mul_(x.sign())
    if rounding is Rounding.HALF_TOWARD_ZERO:
        return floor_divide(x.abs() * 2 + d - 1, d * 2, bound).mul_(x.sign())
    twice = x * 2 + d
    up = floor_divide(twice, d * 2, bound)
    # A tie rounded up to an odd quotient belongs one lower.
    return up.sub_(((up * (d * 2) == twice) & ((up & 1) == 1)).to(up.dtype))


def floor_divide(x: Tensor, d: Any, bound: int) -> Tensor:
    """Return ``⌊x / d⌋`` in x's type.

    A floating-point quotient of integers below 2^24 (float32) or 2^53 (float64) is off by less
    than 1/d, and a quotient below an integer misses it by at least 1/d: flooring cannot be fooled.
    """
    if bound >= FLOAT64_EXACT:
        return torch.div(x, d, rounding_mode="floor")
    wide = torch.float32 if bound < FLOAT32_EXACT else torch.float64
    divisor = torch.as_tensor(d, device=x.device).to(wide).reshape(_shape(d))
    return torch.div(x.to(wide), divisor).floor_().to(x.dtype)


def _shape(d: Any) -> tuple[int, ...]:
    # One axis at least: a division by a scalar may become a multiplication by its reciprocal.
    return tuple(d.shape) if isinstance(d, Tensor) and d.ndim else (1,)
