"""Fix positions: the power-of-two step with the least squared error.

Source: pytorch_nndct 3.5, methods ``diffs`` and ``maxmin`` of its power-of-two quantizer.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from nibblefit_vitis.settings import Method, TensorSetting
from nibblefit_vitis.simulation.quantizer import TINY_SCALE_POSITION, Quantizer

#: Candidates from the coarsest on that covers everything.
SCOPES = {Method.DIFFS: 5, Method.MAXMIN: 1}
#: Where every value is zero, or too small to have a normal reciprocal.
ZERO_POSITION = TINY_SCALE_POSITION
#: Values looked at in one go; what is made of them stays in the cache.
_BLOCK = 1 << 16
#: Finer steps than this overflow float32, and are capped anyway.
_FINEST = 100
_SMALLEST = float(np.finfo(np.float32).tiny)


def capped(position: int, bits: int) -> int:
    """Return a position no finer than the original stores: 12, above 8 bits 15."""
    return min(position, 12 if bits <= 8 else 15)


def covering_position(lo: float, hi: float, setting: TensorSetting) -> int:
    """Return the finest position whose codes reach both ends, half a step of clipping allowed.

    Values below the smallest normal float32 count as zero.
    """
    if max(abs(lo), abs(hi)) < _SMALLEST:
        return ZERO_POSITION
    ends = ((lo, setting.lowest - 0.5), (hi, setting.highest + 0.5))
    step = max(end / limit for end, limit in ends)
    if step <= 0:  # one-sided values and codes of the other side alone
        return ZERO_POSITION
    mantissa, exponent = math.frexp(step)
    return 1 - exponent if mantissa == 0.5 else -exponent


def fix_positions(rows: Tensor, setting: TensorSetting, scope: int) -> tuple[int, ...]:
    """Return the position of every row of a matrix of finite values, not capped.

    The squared errors of `scope` positions are compared, from the covering one on to finer ones;
    the coarsest of equals wins.
    """
    first = _covering(rows, setting)
    if scope == 1 or rows.shape[1] == 0:
        return tuple(first)
    errors = np.stack([
        squared_error(rows, [position + more for position in first], setting)
        for more in range(scope)
    ])  # fmt: skip
    return tuple((np.array(first) + errors.argmin(axis=0)).tolist())


def _covering(rows: Tensor, setting: TensorSetting) -> list[int]:
    if rows.shape[1] == 0:
        return [ZERO_POSITION] * rows.shape[0]
    lows, highs = torch.aminmax(rows, dim=1)
    ends = zip(lows.tolist(), highs.tolist(), strict=True)
    return [covering_position(lo, hi, setting) for lo, hi in ends]


def squared_error(
    rows: Tensor, positions: list[int], setting: TensorSetting
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return Σ (x − rounded x)² of every row, each with its own position."""
    inverse = tuple(2.0 ** min(position, _FINEST) for position in positions)
    rounds = Quantizer(
        inverse, (0,) * len(positions), setting.lowest, setting.highest, setting.round_mode,
        0 if len(positions) > 1 else None,
    )  # fmt: skip
    total = torch.zeros(rows.shape[0], dtype=torch.float64)
    for block in torch.split(rows, max(1, _BLOCK // rows.shape[0]), dim=1):
        missed = rounds.real(block).sub_(block)
        total += missed.square_().sum(1, dtype=torch.float64)
    return total.numpy()
