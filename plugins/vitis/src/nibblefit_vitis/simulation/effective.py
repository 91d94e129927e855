"""Settings as they act: with the silent exceptions that the original makes for the DPU."""

from __future__ import annotations

from dataclasses import replace

from nibblefit_vitis.settings import (
    Device,
    Kind,
    Method,
    NetworkSetting,
    RoundMode,
    TensorSetting,
)

_PARAMETERS = frozenset({Kind.WEIGHTS, Kind.BIAS})
#: Devices whose arithmetic has constants of its own (average pool, hard sigmoid).
HARDWARE = frozenset({Device.DPU, Device.FLEXML})


def effective(setting: NetworkSetting, layer: str, kind: Kind) -> TensorSetting:
    """Return how a tensor of a layer is really quantized.

    In parity mode the DPU ignores `method` and `round_mode`: five candidates, parameters half away
    from zero, everything else half up, network inputs too. Source: pytorch_nndct 3.5, DPU
    quantizer; found by running it.
    """
    own = setting.of(layer, kind)
    if not (setting.parity and setting.device is Device.DPU):
        return own
    mode = RoundMode.STD_ROUND if kind in _PARAMETERS else RoundMode.HALF_UP
    return replace(own, method=Method.DIFFS, round_mode=mode)


def has_device_constants(setting: NetworkSetting) -> bool:
    """Return whether average pools and gates are computed with the DPU's constants.

    The original does so for every device: its 16-bit configurations for CPUs end at the noise of
    these constants (45.4 dB on its small network, 79 dB without them).
    """
    return setting.parity or setting.device in HARDWARE
