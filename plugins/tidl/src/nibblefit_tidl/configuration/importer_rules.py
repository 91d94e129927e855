"""What contradicts itself in a TIDL-RT import configuration, or is beyond a device."""

from __future__ import annotations

from nibblefit_tidl.configuration.cores import core_remarks
from nibblefit_tidl.configuration.importer_inputs import FLOAT
from nibblefit_tidl.configuration.importer_model import CAFFE, RtImport
from nibblefit_tidl.configuration.names import name_remarks
from nibblefit_tidl.configuration.problems import Remark
from nibblefit_tidl.devices import Device

#: Flags of calibrationOption.
_BIAS, _PER_CHANNEL, _GIVEN = 4, 8, 64
_KNOWN = 1 | 2 | _BIAS | _PER_CHANNEL | _GIVEN


def importer_problems(config: RtImport, device: Device | None = None) -> list[Remark]:
    """Return all problems; without a device, those that every device has."""
    cores = core_remarks(config.inference_mode, config.num_cores, device,
                         mode_key="inferenceMode", cores_key="numCores")  # fmt: skip
    return [*_files(config), *_calibration(config), *_precision(config), *_inputs(config),
            *_heads(config), *cores, *_beyond(config, device)]  # fmt: skip


def _files(config: RtImport) -> list[Remark]:
    given = config.given()
    found = [
        Remark(key, f"'{key}' is missing; the importer needs it", f'add {key} = "path"')
        for key in ("inputNetFile", "outputNetFile", "outputParamsFile") if not given.get(key)
    ]  # fmt: skip
    if config.execute_quants_tool and not config.in_data:
        found.append(Remark("inData", "'inData' is missing: calibration needs frames",
                            "add inData, or set executeQuantsTool = 0"))  # fmt: skip
    is_caffe = config.model_type == CAFFE
    if is_caffe and not (config.input_params_file or config.rand_params):
        found.append(Remark(
            "inputParamsFile", "'inputParamsFile' is missing: a Caffe network's weights are in a "
            "file of their own", "add the .caffemodel, or set modelType (2 is ONNX)",
        ))  # fmt: skip
    if not is_caffe and config.input_params_file:
        found.append(Remark(
            "inputParamsFile", f"'inputParamsFile' is for Caffe; modelType {config.model_type} has "
            "its weights in inputNetFile", "remove it, or set modelType = 0",
        ))  # fmt: skip
    return found


def _calibration(config: RtImport) -> list[Remark]:
    found, flags = [], config.calibration_option
    if flags & ~_KNOWN:
        found.append(Remark("calibrationOption", f"calibrationOption {flags} has unknown flags "
                            f"({flags & ~_KNOWN})", "add up 1, 2, 4, 8 and 64"))  # fmt: skip
    if flags & _GIVEN and flags != _GIVEN:
        found.append(Remark(
            "calibrationOption", f"calibrationOption {flags} both trusts given ranges (64) and "
            "calibrates", "write 64 for a network trained with quantization, else leave 64 out",
        ))  # fmt: skip
    if config.pre_quantized_model and flags & ~_GIVEN:
        found.append(Remark(
            "preQuantizedModel", "preQuantizedModel 1 has its own ranges, and calibrationOption "
            f"{flags} would replace them", "set calibrationOption = 64 or 0",
        ))  # fmt: skip
    if not flags & _BIAS:
        for key in ("biasCalibrationFactor", "biasCalibrationIterations",
                    "numFramesBiasCalibration"):  # fmt: skip
            if key in config.given():
                found.append(Remark(key, f"'{key}' has no effect: calibrationOption {flags} has no "
                                    "bias calibration (4)", "add 4 to calibrationOption, or "
                                    "remove the key"))  # fmt: skip
    return found


def _precision(config: RtImport) -> list[Remark]:
    named = {"outputFeature16bitNamesList": config.output_feature16bit_names_list,
             "params16bitNamesList": config.params16bit_names_list}  # fmt: skip
    found = [remark for key, text in named.items() for remark in name_remarks(key, text)]
    mixed = [key for key, text in named.items() if text]
    if config.mixed_precision_factor != -1.0:
        mixed.append("mixedPrecisionFactor")
        if config.mixed_precision_factor <= 1.0:
            found.append(Remark("mixedPrecisionFactor", f"mixedPrecisionFactor "
                                f"{config.mixed_precision_factor:g} allows nothing",
                                "use a factor above 1, or -1 for none"))  # fmt: skip
    for key in mixed:
        if config.num_feature_bits != 8:
            found.append(Remark(key, f"'{key}' has no meaning with numFeatureBits "
                                f"{config.num_feature_bits}: no layer has 8 bits",
                                "set numFeatureBits = 8, or remove it"))  # fmt: skip
        if config.enable_high_res_optimization:
            found.append(Remark(key, f"'{key}' and enableHighResOptimization exclude each other",
                                "remove one of the two"))  # fmt: skip
    return found


def _inputs(config: RtImport) -> list[Remark]:
    found = []
    normalized = any(config.in_data_norm)
    for key, values in (("inMean", config.in_mean), ("inScale", config.in_scale)):
        if normalized and not values:
            found.append(Remark(key, f"inDataNorm 1 needs '{key}'",
                                f"add {key}, one number per channel"))  # fmt: skip
        if values and not normalized:
            found.append(Remark(key, f"'{key}' has no effect while inDataNorm is 0",
                                f"set inDataNorm = 1, or remove {key}"))  # fmt: skip
    if config.in_mean and config.in_scale and len(config.in_mean) != len(config.in_scale):
        found.append(Remark("inScale", f"inMean has {len(config.in_mean)} numbers, inScale "
                            f"{len(config.in_scale)}", "give one per channel in both"))  # fmt: skip
    floats = FLOAT in config.in_element_type
    if floats and config.num_feature_bits != 32 and not config.add_data_convert_to_net & 1:
        found.append(Remark(
            "inElementType", "inElementType 6 (float) needs a conversion in front of the network",
            "set addDataConvertToNet = 1 or 3",
        ))  # fmt: skip
    return found


def _heads(config: RtImport) -> list[Remark]:
    if (config.meta_arch_type == -1) == (not config.meta_layers_names_list):
        return []
    return [Remark("metaArchType", "metaArchType and metaLayersNamesList belong together",
                   "give both, or neither")]  # fmt: skip


def _beyond(config: RtImport, device: Device | None) -> list[Remark]:
    if device is None or device.per_channel or not config.calibration_option & _PER_CHANNEL:
        return []
    return [Remark(
        "calibrationOption", f"calibrationOption {config.calibration_option} gives depthwise "
        f"layers one weight scale per channel (8), which {device.name} lacks", "subtract 8",
    )]  # fmt: skip
