"""Which arithmetic a network's formats and settings ask for."""

from __future__ import annotations

from dataclasses import replace

from nibblefit.fixed.formats import Accumulator, Rounding
from nibblefit.ir.numerics import BiasRule, Numerics, Requantization, RequantRule
from nibblefit_vitis.formats import NetworkFormats
from nibblefit_vitis.numerics import DPU_NUMERICS, ROUNDINGS
from nibblefit_vitis.quantize.formats import is_power_of_two
from nibblefit_vitis.settings import Kind, NetworkSetting
from nibblefit_vitis.simulation.effective import (
    HARDWARE,
    effective,
    has_device_constants,
)

#: Width of the multipliers of the float-scale class: as precise as float32, and what a product
#: of 62 bits leaves to layers with 16-bit codes.
_MULTIPLIER_BITS, _WIDE_MULTIPLIER_BITS = 24, 18
#: Sums of wide codes and biases; no hardware bounds them.
_WIDE_SUMS = Accumulator(62)


def numerics_for(formats: NetworkFormats, setting: NetworkSetting) -> Numerics:
    """Return the arithmetic of a network.

    Fix positions alone: shifts, on the DPU with its 32-bit sums. Any float scale: integer
    multipliers with 24 significant bits (18 beside 16-bit codes) behind exact sums, rounded once.
    Average pools and gates have the DPU's constants wherever the float simulation has them.
    """
    activation = rounding_of(setting, Kind.ACTIVATION)
    inputs = replace(DPU_NUMERICS.inputs, rounding=rounding_of(setting, Kind.INPUT))
    activations = replace(DPU_NUMERICS.activations, rounding=activation)
    requant = replace(DPU_NUMERICS.requant, rounding=activation)
    found = replace(DPU_NUMERICS, inputs=inputs, activations=activations, requant=requant,
                    pooling=activation)  # fmt: skip
    wide = any(entry is not None and entry.bits > 8 for entry in formats.outputs.values())
    if setting.device in HARDWARE and is_shifting(formats):
        return replace(found, accumulator=_WIDE_SUMS) if wide else found
    gates = found.gates if has_device_constants(setting) else None
    found = replace(found, gates=gates, accumulator=_WIDE_SUMS, bias=BiasRule(32))
    if is_shifting(formats):
        return found
    bits = _WIDE_MULTIPLIER_BITS if wide else _MULTIPLIER_BITS
    rule = RequantRule(Requantization.MULTIPLY_SHIFT, activation, bits, (-62, 62))
    return replace(found, requant=rule)


def is_shifting(formats: NetworkFormats) -> bool:
    """Return whether every format is a fix position."""
    tables = (formats.params, formats.outputs, formats.inputs)
    return all(is_power_of_two(entry) for table in tables for entry in table.values())


def rounding_of(setting: NetworkSetting, kind: Kind, layer: str = "") -> Rounding:
    """Return the rounding of a kind of tensor of a layer, as it acts."""
    return ROUNDINGS[effective(setting, layer, kind).round_mode]
