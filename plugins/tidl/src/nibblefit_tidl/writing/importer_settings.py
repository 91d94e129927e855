"""Configurations for the stand-alone TIDL-RT importer that go with each written form."""

from __future__ import annotations

from typing import Any

from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit_tidl.configuration.importer_inputs import FLOAT, RAW_LIST
from nibblefit_tidl.configuration.importer_model import ONNX, RtImport
from nibblefit_tidl.configuration.importer_quantization import POWER_OF_TWO, SYMMETRIC
from nibblefit_tidl.current.modes import BIAS_CALIBRATION, GIVEN_RANGES, LEVEL_FLAGS, Mode
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.writing.frames import LIST
from nibblefit_tidl.writing.provider_settings import BOTH_ENDS, wide_names


def float_import(network: Graph, graph: QuantizedGraph, mode: Mode, options: TidlOptions,
                 frames: int) -> RtImport:  # fmt: skip
    """Return the configuration for the float form."""
    flags = LEVEL_FLAGS[1] if mode.flags == GIVEN_RANGES else mode.flags
    if options.calibration_iterations == 0:
        flags &= ~BIAS_CALIBRATION
    outputs, params = wide_names(network, graph, mode)
    values: dict[str, Any] = {
        "quantization_style": POWER_OF_TWO if mode.power_of_two else SYMMETRIC,
        "calibration_option": flags,
        "weight_range_method": int(options.weight_range_method == "median"),
        "percentile_act_range_shrink": options.activation_range_shrink,
        "percentile_wt_range_shrink": options.weight_range_shrink,
        "num_param_bits": mode.bits,
        "num_feature_bits": mode.bits,
    }
    if flags & BIAS_CALIBRATION:
        values["bias_calibration_factor"] = options.bias_calibration_factor
        values["bias_calibration_iterations"] = options.calibration_iterations
        values["num_frames_bias_calibration"] = min(options.calibration_frames, frames)
    if outputs:
        values["output_feature16bit_names_list"] = ",".join(outputs)
    if params:
        values["params16bit_names_list"] = ",".join(params)
    if options.high_resolution_optimization:
        values["enable_high_res_optimization"] = 1
    return _import(network, "float", frames, values)


def qdq_import(network: Graph, mode: Mode, frames: int) -> RtImport | None:
    """Return the configuration for the QDQ form; None where scales are asymmetric."""
    if not mode.symmetric:
        return None
    return _import(network, "qdq", frames, {
        "quantization_style": POWER_OF_TWO if mode.power_of_two else SYMMETRIC,
        "calibration_option": GIVEN_RANGES,
        "pre_quantized_model": 1,
        "num_param_bits": mode.bits,
        "num_feature_bits": mode.bits,
    })  # fmt: skip


def _import(network: Graph, name: str, frames: int, values: dict[str, Any]) -> RtImport:
    channels, *spatial = network.shapes[network.inputs[0]]
    rows, columns = [1, 1, *spatial][-2:]
    return RtImport(
        model_type=ONNX,
        input_net_file=f"{name}.onnx",
        output_net_file=f"{name}_net.bin",
        output_params_file=f"{name}_io_",
        **values,
        num_frames=frames,
        in_file_format=RAW_LIST,
        in_data=LIST,
        in_element_type=(FLOAT,),
        raw_data_in_element_type=(FLOAT,),
        in_width=(columns,),
        in_height=(rows,),
        in_num_channels=(channels,),
        in_data_names_list=network.inputs[0],
        out_data_names_list=",".join(network.outputs),
        add_data_convert_to_net=BOTH_ENDS,
    )
