"""The six roundings in torch: exact integer quotients, and float32 to integer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from nibblefit.fixed.formats import Rounding

_LIMIT = 2.0**62


def divide(x: Tensor, divisor: Tensor, rounding: Rounding) -> Tensor:
    """Return ``x / divisor`` of int64 tensors, exact before the one rounding; divisor ≥ 1."""
    floor = torch.div(x, divisor, rounding_mode="floor")
    return _from_floor(x, floor, x - floor * divisor, divisor, rounding)


def shift_right(x: Tensor, bits: Tensor, rounding: Rounding) -> Tensor:
    """Return ``x / 2^bits`` of an int64 tensor; 0 ≤ bits ≤ 62."""
    floor = torch.bitwise_right_shift(x, bits)
    divisor = torch.bitwise_left_shift(torch.ones_like(bits), bits)
    return _from_floor(x, floor, x - floor * divisor, divisor, rounding)


def _from_floor(x: Tensor, floor: Tensor, rest: Tensor, divisor: Tensor,
                rounding: Rounding) -> Tensor:  # fmt: skip
    """Round up where the rest of the floored quotient demands it."""
    if rounding is Rounding.FLOOR:
        return floor
    if rounding is Rounding.TOWARD_ZERO:
        return floor + ((rest > 0) & (x < 0))
    missing = divisor - rest  # rest − missing has the sign of 2·rest − divisor, and cannot overflow
    if rounding is Rounding.HALF_UP:
        return floor + (rest >= missing)
    return floor + ((rest > missing) | ((rest == missing) & _TIES[rounding](x, floor)))


#: Where a tie goes up, given the value and its floored quotient.
_TIES: Mapping[Rounding, Callable[[Tensor, Tensor], Tensor]] = {
    Rounding.HALF_AWAY: lambda x, _: x >= 0,
    Rounding.HALF_TOWARD_ZERO: lambda x, _: x < 0,
    Rounding.HALF_EVEN: lambda _, floor: (floor & 1) == 1,
}


def round_float32(x: Tensor, rounding: Rounding) -> Tensor:
    """Return float32 values as int64, saturated at ±2^62."""
    wide = x.double().clamp(-_LIMIT, _LIMIT)
    return _FLOAT[rounding](wide).long()


_FLOAT: Mapping[Rounding, Callable[[Tensor], Tensor]] = {
    Rounding.FLOOR: torch.floor,
    Rounding.TOWARD_ZERO: torch.trunc,
    Rounding.HALF_UP: lambda x: torch.floor(x + 0.5),
    Rounding.HALF_AWAY: lambda x: torch.copysign(torch.floor(x.abs() + 0.5), x),
    Rounding.HALF_TOWARD_ZERO: lambda x: torch.copysign(torch.ceil(x.abs() - 0.5), x),
    Rounding.HALF_EVEN: torch.round,
}
