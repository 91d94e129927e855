"""Which settings of one tensor go together on which device.

Source: pytorch_nndct 3.5, observed and read; the order is that in which it looks. Rules of its
own silence, which only the default mode has, are marked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nibblefit_vitis.configuration.keys import MEASURED
from nibblefit_vitis.settings import (
    Device,
    Kind,
    Method,
    RoundMode,
    ScaleType,
    Statistic,
    TensorSetting,
)

_SHIFTS = (Method.DIFFS, Method.MAXMIN)
_HISTOGRAMS = (Method.PERCENTILE, Method.ENTROPY, Method.MSE)
_FLOATS = (Method.MAXMIN, *_HISTOGRAMS)
_FLOAT_STATISTICS = (Statistic.MAX, Statistic.MEAN, Statistic.MEDIAN)

#: Widest code of data and weights: products of two, summed, must fit the sums' 64 bits.
WIDEST = 16


@dataclass(frozen=True, slots=True)
class Broken:
    """A setting that does not go with the others.

    Attributes:
        key: The setting.
        accepted: Values that it may have here, the advised one first.
        why: Who wants that.
    """

    key: str
    accepted: tuple[Any, ...]
    why: str


def broken(
    setting: TensorSetting, kind: Kind, device: Device, *, parity: bool
) -> Iterator[Broken]:  # fmt: skip
    """Yield what does not fit, in the order in which the original looks."""
    if setting.datatype != "int":
        yield Broken("datatype", ("int",), "other types than int are not quantized here")
        return
    if device is Device.DPU:
        yield from _dpu(setting, kind, parity)
    elif device is not Device.FLEXML or not parity:
        # The original checks nothing for FLEXML, and fails later where it has no algorithm.
        yield from _processor(setting, kind, parity)
    if not parity:
        yield from _silent(setting, kind)


def _dpu(setting: TensorSetting, kind: Kind, parity: bool) -> Iterator[Broken]:
    if not setting.symmetry:
        yield Broken("symmetry", (True,), "a DPU has no zero points")
    if not setting.signed and not parity:
        yield Broken("signed", (True,), "a DPU computes with signed codes")
    if setting.method not in _SHIFTS:
        yield Broken("method", _SHIFTS, "fix positions of a DPU are searched by these methods")
    if setting.per_channel:
        yield Broken("per_channel", (False,), "a DPU has one fix position per tensor")
    if setting.scale_type is not ScaleType.POWER_OF_TWO:
        yield Broken("scale_type", (ScaleType.POWER_OF_TWO,), "a DPU scales by shifts")
    if setting.narrow_range:
        yield Broken("narrow_range", (False,), "a DPU uses all codes, whatever the manual says")
    yield from _statistic(setting, kind, (Statistic.MODAL,), "on a DPU", parity)
    wanted = RoundMode.HALF_UP if kind is Kind.ACTIVATION else RoundMode.STD_ROUND
    if setting.round_mode is not wanted:
        why = ("a DPU rounds its results half up" if kind is Kind.ACTIVATION
               else "inputs and parameters for a DPU are rounded away from zero")  # fmt: skip
        yield Broken("round_mode", (wanted,), why)


def _processor(setting: TensorSetting, kind: Kind, parity: bool) -> Iterator[Broken]:
    if setting.per_channel and kind is not Kind.WEIGHTS:
        yield Broken("per_channel", (False,), "only weights have scales per channel")
    elif setting.scale_type is ScaleType.POWER_OF_TWO:
        yield from _shifts(setting, kind, parity)
    elif setting.per_channel:
        if setting.method is not Method.MAXMIN:
            yield Broken("method", (Method.MAXMIN,), "float scales per channel come from extremes")
    else:
        yield from _floats(setting, kind, parity)


def _shifts(setting: TensorSetting, kind: Kind, parity: bool) -> Iterator[Broken]:
    why = "with scale_type poweroftwo"
    if setting.method not in _SHIFTS:
        yield Broken("method", _SHIFTS, why)
    if not setting.symmetry:
        yield Broken("symmetry", (True,), why)
    if not setting.signed:
        yield Broken("signed", (True,), why)
    yield from _statistic(setting, kind, (Statistic.MODAL,), why, parity)


def _floats(setting: TensorSetting, kind: Kind, parity: bool) -> Iterator[Broken]:
    if setting.method not in _FLOATS:
        yield Broken("method", _FLOATS, "with scale_type float")
    yield from _statistic(setting, kind, _FLOAT_STATISTICS, "with scale_type float", parity)
    if not setting.symmetry and setting.method in _HISTOGRAMS:
        yield Broken("symmetry", (True,), f"method {setting.method} looks at magnitudes")


def _statistic(
    setting: TensorSetting, kind: Kind, accepted: tuple[Statistic, ...], why: str, parity: bool
) -> Iterator[Broken]:
    known = accepted if parity else (*accepted, Statistic.POOLED)
    if kind in MEASURED and setting.calib_statistic_method not in known:
        yield Broken("calib_statistic_method", known, why)


def _silent(setting: TensorSetting, kind: Kind) -> Iterator[Broken]:
    """Yield what the original accepts and then cannot do."""
    widest = 32 if kind is Kind.BIAS else WIDEST
    if not 2 <= setting.bit_width <= widest:
        yield Broken("bit_width", (8,), f"{kind} has from 2 to {widest} bits")
    if setting.narrow_range and not (setting.signed and setting.symmetry):
        yield Broken("narrow_range", (False,), "unsigned codes have no most negative one")
