"""Ranges of the DPU's shifts.

Sources: pytorch_nndct 3.5, adjustment of the exported configuration; AMD Quark 0.13, refinement for
its NPU. Where both state a limit the narrower one holds, except in parity mode.
"""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit_vitis.settings import Device, NetworkSetting

#: Bits of the accumulator that a layer's sum must leave to its bias, and of a code.
ACCUMULATOR_BITS, CODE_BITS = 24, 8
#: Right shift from sum to output: both sources.
MOST_CUT = 16
#: Operands of a sum are brought to the finest; its result is shifted. Source: Quark.
MOST_READ = 7
WRITE = (-7, 25)
#: Right shift of an element-wise product. Source: Quark.
PRODUCT = (0, 32)
#: Fractional bits of a gate's factor 2731 / 2^14, and of the gate itself. Source: nndct.
GATE_SHIFT, GATE_POSITION = 14, 7
#: Input of a hard sigmoid, and right shift of a hard swish's product. Source: Quark.
GATE_INPUT = (0, 15)
SWISH_PRODUCT = (0, 15)


@dataclass(frozen=True, slots=True)
class BiasLimits:
    """Legal left shifts of a bias.

    Attributes:
        least: Where the sum leaves room for finer biases, negative.
        most: Largest left shift.
    """

    least: int
    most: int


def least_cut(setting: NetworkSetting) -> int:
    """Return the smallest right shift from sum to output."""
    return -1 if setting.device is Device.FLEXML else 0


def bias_limits(setting: NetworkSetting, cut: int, *, leaky: bool) -> BiasLimits:
    """Return the legal shifts of a bias beside a sum that is shifted right by `cut`."""
    room = 0 if setting.device is Device.FLEXML else min(0, CODE_BITS + cut - ACCUMULATOR_BITS)
    if setting.parity:
        return BiasLimits(room, 16)
    return BiasLimits(0 if leaky else room, 15)
