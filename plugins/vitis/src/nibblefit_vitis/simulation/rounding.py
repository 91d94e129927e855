"""The four roundings, exact for every finite value of float32 and float64.

Adding one half before a floor is not: the largest float32 below one half becomes 1. Flooring to
halves first and to integers after that never leaves the numbers that floats hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from nibblefit_vitis.settings import RoundMode


def _half_up(doubled: Tensor) -> Tensor:
    return doubled.floor_().mul_(0.5).ceil_()


def _half_down(doubled: Tensor) -> Tensor:
    sign = doubled.sign()
    return doubled.abs_().ceil_().mul_(0.5).floor_().mul_(sign)


def _half_away(doubled: Tensor) -> Tensor:
    halves = doubled.trunc_().mul_(0.5)
    # Only a fraction of one half is left; its sign decides where the tie goes.
    return halves.add_(halves.frac())


def _half_even(doubled: Tensor) -> Tensor:
    return doubled.mul_(0.5).round_()


#: Rounds v when given 2 · v, in place; 2 · v must be finite. Names in XIR: DPU_ROUND is half up,
#: STD_ROUND half away from zero, PY3_ROUND half to even. Source: pytorch_nndct 3.5, codes 2, 3, 6
#: and 8 of its kernels.
ROUND_DOUBLED: Mapping[RoundMode, Callable[[Tensor], Tensor]] = {
    RoundMode.HALF_UP: _half_up,
    RoundMode.STD_ROUND: _half_away,
    RoundMode.HALF_DOWN: _half_down,
    RoundMode.HALF_EVEN: _half_even,
}


#: From here on every value of a type is an integer.
_WHOLE: Mapping[torch.dtype, float] = {torch.float32: 2.0**23, torch.float64: 2.0**52}


def rounded(values: Tensor, mode: RoundMode) -> Tensor:
    """Return values rounded to integers, as floats of the same type; not a number stays."""
    if values.dtype not in (torch.float32, torch.float64):
        values = values.float()
    # Larger values have no fraction; the largest of them cannot be doubled.
    whole = values.abs() >= _WHOLE[values.dtype]
    return torch.where(whole, values, ROUND_DOUBLED[mode](values * 2.0))
