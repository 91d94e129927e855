"""Which quantization a device and the options ask for together, and what the device refuses."""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit.errors import RecipeError
from nibblefit.ir.numerics import BiasRule, Numerics
from nibblefit_tidl.current.numerics import bias_rule, largest_bias, numerics_of
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.devices import Device

#: Calibration flags of the stand-alone importer (calibrationOption), which may be added up.
ACTIVATION_RANGE, WEIGHT_RANGE, BIAS_CALIBRATION, PER_CHANNEL, GIVEN_RANGES = 1, 2, 4, 8, 64
#: accuracy_level → flags. Level 9 is made up of single options. Level 2 takes the extremes of all
#: frames, so it has no activation flag. Source: option map of the ONNX Runtime provider.
LEVEL_FLAGS = {
    0: GIVEN_RANGES,
    1: ACTIVATION_RANGE | WEIGHT_RANGE | BIAS_CALIBRATION,
    2: WEIGHT_RANGE | BIAS_CALIBRATION,
}


@dataclass(frozen=True, slots=True)
class Mode:
    """Everything about a quantization that does not depend on the network.

    Attributes:
        device: The device.
        scale_type: quantization_scale_type: 0, 1, 3 or 4.
        bits: 8, 16, or 32 for float emulation.
        flags: Calibration flags of the importer.
        mixed: Single layers may have 16 bits.
        narrow_bias: How MMAv1 carries biases: ``word`` or ``product``.
    """

    device: Device
    scale_type: int
    bits: int
    flags: int
    mixed: bool = False
    narrow_bias: str = "word"

    @property
    def symmetric(self) -> bool:
        """No zero points, and shifts alone."""
        return self.scale_type in (0, 1)

    @property
    def power_of_two(self) -> bool:
        """Every scale is a power of two."""
        return self.scale_type == 1

    @property
    def numerics(self) -> Numerics:
        """The arithmetic."""
        bits = 8 if self.bits == 32 else self.bits
        return numerics_of(self.device, self.scale_type, bits, mixed=self.mixed,
                           per_channel=self.has(PER_CHANNEL), bias=self.narrow_bias)  # fmt: skip

    def bias_rule(self, bits: int) -> BiasRule:
        """Return the bias rule of a layer whose data or weights are that wide."""
        return bias_rule(self.device, bits, self.narrow_bias)

    def largest_bias(self, bits: int, *, signed: bool) -> float:
        """Return the largest bias of such a layer, in accumulator steps."""
        return largest_bias(self.device, bits, self.numerics.accumulator.bits, signed=signed)

    def has(self, flag: int) -> bool:
        """Return whether a calibration flag is set."""
        return bool(self.flags & flag)


def mode_of(device: Device, options: TidlOptions) -> Mode:
    """Return the quantization that the options ask for on a device.

    Raises:
        RecipeError: The device does not have it.
    """
    mixed = bool(
        options.output_feature_16bit_names
        or options.params_16bit_names
        or options.mixed_precision_factor is not None
    )
    scale_type = scale_type_of(device, options)
    mode = Mode(device, scale_type, options.tensor_bits, flags_of(options), mixed,
                options.narrow_bias)  # fmt: skip
    problems = mode_problems(mode)
    if problems:
        raise RecipeError(
            f"{device.name} cannot be quantized for as asked",
            hint="use quantization_scale_type 0 or 1, or another part",
            problems=problems,
        )
    return mode


def training_mode(device: Device, options: TidlOptions) -> Mode:
    """Return the quantization that training simulates: its own ranges, one width throughout."""
    return Mode(device, scale_type_of(device, options), options.tensor_bits, GIVEN_RANGES)


def scale_type_of(device: Device, options: TidlOptions) -> int:
    """Return quantization_scale_type: what is asked for, else the vendor's preset for the device.

    Source: presets of edgeai-benchmark 11.2 for quantized models.
    """
    if options.quantization_scale_type is not None:
        return options.quantization_scale_type
    return 4 if device.asymmetric else 1


def mode_problems(mode: Mode) -> list[str]:
    """Return what a device refuses of a mode, each with its reason; empty if all is well."""
    device, problems = mode.device, []
    if mode.scale_type in (3, 4) and not device.asymmetric:
        problems.append(
            f"quantization_scale_type {mode.scale_type} needs zero points and one weight scale per "
            f"channel, which the matrix accelerator of {device.name} (version {device.mma}) lacks"
        )
    if mode.has(PER_CHANNEL) and not device.per_channel:
        problems.append(
            f"channel_wise_quantization needs one weight scale per channel, which the matrix "
            f"accelerator of {device.name} (version {device.mma}) lacks"
        )
    return problems


def flags_of(options: TidlOptions) -> int:
    """Return the calibration flags of the importer that the options amount to."""
    level = options.accuracy_level
    if level is None:
        level = 0 if options.qat else 1
    if level != 9:
        return LEVEL_FLAGS[level]
    chosen = {
        ACTIVATION_RANGE: options.activation_clipping,
        WEIGHT_RANGE: options.weight_clipping,
        BIAS_CALIBRATION: options.bias_calibration,
        PER_CHANNEL: options.channel_wise_quantization and options.quantization_scale_type != 4,
    }
    return sum(flag for flag, wanted in chosen.items() if wanted)
