"""What our quantizer is asked for in the calibration race."""

from __future__ import annotations

from dataclasses import replace

from nibblefit_vitis.settings import (
    DPU_DEFAULT,
    Device,
    Kind,
    Method,
    NetworkSetting,
    RoundMode,
    ScaleType,
    Statistic,
    TensorSetting,
)

_FLOAT = TensorSetting(
    method=Method.MAXMIN, round_mode=RoundMode.HALF_EVEN, scale_type=ScaleType.FLOAT,
    calib_statistic_method=Statistic.POOLED,
)  # fmt: skip

#: The DPU's default (equalization, bias correction), and float scales: zero points for
#: activations, one scale per channel for weights, one pass and no correction.
SETTINGS = {
    "power of two": NetworkSetting(
        base={
            kind: replace(own, calib_statistic_method=Statistic.POOLED)
            for kind, own in DPU_DEFAULT.items()
        }
    ),
    "float scale": NetworkSetting(
        device=Device.CPU,
        base={
            Kind.INPUT: replace(_FLOAT, symmetry=False),
            Kind.ACTIVATION: replace(_FLOAT, symmetry=False),
            Kind.WEIGHTS: replace(_FLOAT, per_channel=True),
            Kind.BIAS: replace(_FLOAT, bit_width=32),
        },
        include_cle=False,
        include_bias_corr=False,
    ),
}
