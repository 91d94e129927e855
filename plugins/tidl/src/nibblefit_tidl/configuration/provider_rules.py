"""Which options of the TIDL providers go together, and on which device."""

from __future__ import annotations

from nibblefit_tidl.configuration.cores import core_remarks
from nibblefit_tidl.configuration.names import name_remarks, repeated
from nibblefit_tidl.configuration.problems import Remark
from nibblefit_tidl.configuration.provider_model import ADVANCED, LEVEL_9, ProviderOptions
from nibblefit_tidl.devices import Device

#: Fewest calibration frames that the vendor advises.
FEWEST_FRAMES = 10
_ASYMMETRIC = (3, 4)


def provider_problems(options: ProviderOptions, device: Device | None = None) -> list[Remark]:
    """Return all conflicts; without a device, those that every device has."""
    cores = core_remarks(
        options.inference_mode,
        options.num_cores,
        device,
        mode_key=_advanced("inference_mode"),
        cores_key=_advanced("num_cores"),
    )
    return [*_lists(options), *_level(options), *_scale_type(options), *_precision(options),
            *_prequantized(options), *_detection(options), *cores,
            *_beyond(options, device)]  # fmt: skip


def provider_advice(options: ProviderOptions) -> list[Remark]:
    """Return what is legal and often costs accuracy."""
    found = []
    if options.tensor_bits == 32:
        found.append(Remark("tensor_bits", "tensor_bits 32 is float emulation: it runs on the "
                            "host, not on a board", "use it to compare, then 8 or 16"))  # fmt: skip
    calibrates = options.accuracy_level != 0 and options.tensor_bits != 32
    if calibrates and options.calibration_frames < FEWEST_FRAMES:
        found.append(Remark(
            _advanced("calibration_frames"), f"{options.calibration_frames} calibration frames "
            "are few: accuracy is often lost this way", f"use {FEWEST_FRAMES} or more, better 50",
        ))  # fmt: skip
    for name in ("output_feature_16bit_names_list", "params_16bit_names_list"):
        twice = repeated(getattr(options, name))
        if twice:
            found.append(Remark(_advanced(name), f"{name} has {', '.join(twice)} more than once",
                                "it may be a slip for another name"))  # fmt: skip
    return found


def _advanced(name: str) -> str:
    return f"{ADVANCED}{name}"


def _lists(options: ProviderOptions) -> list[Remark]:
    found = []
    denied = [key for key in ("deny_list", "deny_list:layer_type", "deny_list:layer_name")
              if options.flat().get(key)]  # fmt: skip
    if options.allow_layer_names and denied:
        found.append(Remark(denied[0], f"{denied[0]} and allow_list:layer_name exclude each other",
                            "keep one of the two"))  # fmt: skip
    if options.custom_layers_names_list and not options.enable_custom_layers:
        found.append(Remark(
            _advanced("custom_layers_names_list"), "custom_layers_names_list has no effect while "
            "enable_custom_layers is 0", "set enable_custom_layers to 1",
        ))  # fmt: skip
    for key, text in options.flat().items():
        if key.endswith(("_names_list", ":layer_name", ":layer_type", "deny_list")):
            found += name_remarks(key, str(text))
    return found


def _level(options: ProviderOptions) -> list[Remark]:
    found = []
    for name in LEVEL_9:
        if name in options.model_fields_set and options.accuracy_level != 9:
            found.append(Remark(
                _advanced(name), f"{name} has no effect with accuracy_level "
                f"{options.accuracy_level}", "set accuracy_level to 9, or remove it",
            ))  # fmt: skip
    if options.channel_wise_quantization and options.quantization_scale_type == 4:
        found.append(Remark(
            _advanced("channel_wise_quantization"), "channel_wise_quantization has no effect with "
            "quantization_scale_type 4, which has one weight scale per channel everywhere",
            "remove it",
        ))  # fmt: skip
    return found


def _scale_type(options: ProviderOptions) -> list[Remark]:
    found = []
    scale_type = options.quantization_scale_type
    if scale_type == 3 and options.add_data_convert_ops:
        found.append(Remark(
            _advanced("add_data_convert_ops"), "add_data_convert_ops "
            f"{options.add_data_convert_ops} does not go with quantization_scale_type 3, whose "
            "network has integers at both ends", "set add_data_convert_ops to 0",
        ))  # fmt: skip
    if options.quant_params_proto_path and scale_type in _ASYMMETRIC:
        found.append(Remark(
            _advanced("quant_params_proto_path"), "quant_params_proto_path is for symmetric "
            f"quantization, not for quantization_scale_type {scale_type}",
            "use quantization_scale_type 0 or 1, or remove the path",
        ))  # fmt: skip
    return found


def _precision(options: ProviderOptions) -> list[Remark]:
    found, factor = [], options.mixed_precision_factor
    mixed = [name for name in ("output_feature_16bit_names_list", "params_16bit_names_list")
             if getattr(options, name)]  # fmt: skip
    if factor != -1.0:
        mixed.append("mixed_precision_factor")
        if factor <= 1.0:
            found.append(Remark(_advanced("mixed_precision_factor"), f"mixed_precision_factor "
                                f"{factor:g} allows nothing",
                                "use a factor above 1, or -1 for none"))  # fmt: skip
    for name in mixed:
        if options.tensor_bits != 8:
            found.append(Remark(_advanced(name), f"{name} has no meaning with tensor_bits "
                                f"{options.tensor_bits}: no layer has 8 bits",
                                "set tensor_bits to 8, or remove it"))  # fmt: skip
        elif options.high_resolution_optimization:
            found.append(Remark(_advanced(name), f"{name} and high_resolution_optimization exclude "
                                "each other at 8 bits", "remove one of the two"))  # fmt: skip
    return found


def _prequantized(options: ProviderOptions) -> list[Remark]:
    if not options.prequantized_model:
        return []
    found = []
    if options.accuracy_level != 0:
        found.append(Remark(
            "accuracy_level", f"accuracy_level {options.accuracy_level} would calibrate a network "
            "that carries its own quantization (prequantized_model 1)", "set accuracy_level to 0",
        ))  # fmt: skip
    if options.quantization_scale_type == 0:
        found.append(Remark(
            _advanced("quantization_scale_type"), "prequantized_model 1 needs the scale type that "
            "the network was quantized for, and 0 is the default for calibrated ones",
            "set quantization_scale_type to 4 (per channel), 1 (powers of two) or 3 (TFLite)",
        ))  # fmt: skip
    if options.tensor_bits != 8:
        found.append(Remark("tensor_bits", f"prequantized_model 1 has 8 bits, and tensor_bits is "
                            f"{options.tensor_bits}", "set tensor_bits to 8"))  # fmt: skip
    return found


def _detection(options: ProviderOptions) -> list[Remark]:
    found = []
    if options.model_type not in ("", "OD"):
        found.append(Remark("model_type", f"model_type is '{options.model_type}'",
                            "use OD for object detection, or leave it empty"))  # fmt: skip
    if (options.meta_arch_type == -1) != (not options.meta_layers_names_list):
        found.append(Remark(
            "object_detection:meta_arch_type", "meta_arch_type and meta_layers_names_list belong "
            "together", "give both, or neither",
        ))  # fmt: skip
    return found


def _beyond(options: ProviderOptions, device: Device | None) -> list[Remark]:
    if device is None:
        return []
    found, mma = [], f"the matrix accelerator of {device.name} (version {device.mma}) lacks"
    if options.quantization_scale_type in _ASYMMETRIC and not device.asymmetric:
        found.append(Remark(
            _advanced("quantization_scale_type"), "quantization_scale_type "
            f"{options.quantization_scale_type} needs zero points and one weight scale per "
            f"channel, which {mma}", "use 1 (or 0)",
        ))  # fmt: skip
    if options.channel_wise_quantization and not device.per_channel:
        found.append(Remark(_advanced("channel_wise_quantization"), "channel_wise_quantization "
                            f"needs one weight scale per channel, which {mma}",
                            "remove it"))  # fmt: skip
    last = max(options.core_number, options.core_start_idx)
    if last > device.cores:
        key = "core_number" if options.core_number == last else "core_start_idx"
        found.append(Remark(key, f"{key} is {last}, and {device.name} has {device.cores} core"
                            f"{'s' if device.cores > 1 else ''}",
                            f"use 1 to {device.cores}"))  # fmt: skip
    return found
