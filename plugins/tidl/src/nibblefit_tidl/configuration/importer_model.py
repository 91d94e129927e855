"""The stand-alone TIDL-RT importer's configuration, as a model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nibblefit_tidl.configuration.fields import Configuration, Flag, at_least, one_of
from nibblefit_tidl.configuration.importer_inputs import InputKeys, OutputKeys
from nibblefit_tidl.configuration.importer_quantization import QuantizationKeys

#: Key → the other name that the importer accepts.
ALIASES = {"inQuantFactor": "inTensorScale"}
CAFFE, TENSORFLOW, ONNX, TFLITE = range(4)


class LayerKeys(Configuration):
    """The network, its layers, and where they run."""

    model_type: Annotated[int, at_least(0, most=6)] = Field(
        default=CAFFE,
        description="0 Caffe, 1 TensorFlow, 2 ONNX, 3 TFLite, 4 relay, 5 TFLite runtime, 6 "
        "internal to ONNX Runtime.",
    )
    rand_params: Flag = Field(default=0, description="1: random weights, to estimate speed.")
    input_net_file: str = Field(default="", description="Network: .onnx, .prototxt, .tflite.")
    input_params_file: str = Field(default="", description="Weights: .caffemodel; Caffe alone.")
    output_net_file: str = Field(default="", description="Network that the importer writes.")
    output_params_file: str = Field(default="", description="Input/output file that it writes.")
    network_name: str = Field(default="", description="Name in logs.")
    fold_bn_in_conv2d: Flag = Field(
        default=1, alias="foldBnInConv2D",
        description="1: batch norm goes into the convolution before it.",
    )  # fmt: skip
    fold_pre_bn_conv2d: Annotated[int, one_of(0, 1, 2)] = Field(
        default=1, alias="foldPreBnConv2D",
        description="Batch norm (and inMean, inScale) goes into the convolution behind it: 0 no, "
        "1 yes, which is wrong at zero-padded borders where a mean is not zero, 2 with a pad layer "
        "of the mean.",
    )  # fmt: skip
    fold_elt_wise_in_conv2d: Annotated[int, one_of(0)] = Field(
        default=0, alias="foldEltWiseInConv2D", description="Must stay 0."
    )
    fold_max_pool_in_conv2d: Annotated[int, one_of(0)] = Field(
        default=0, alias="foldMaxPoolInConv2D", description="Must stay 0."
    )
    fold_depth_to_space_in_conv2d: Flag = Field(
        default=0, alias="foldDepthToSpaceInConv2D",
        description="1: depth-to-space goes into the convolution; the default depends on the "
        "release.",
    )  # fmt: skip
    enable_custom_layers: Flag = Field(default=0, description="1: layers of your own are called.")
    single_core_layers_names: str = Field(
        default="", description="Layers kept on one core, separated by commas."
    )
    model_group_id: Annotated[int, at_least(0)] = Field(
        default=0, description="Networks of one group share scratch memory."
    )


class ToolKeys(Configuration):
    """The device, cores, and the programs that the importer starts."""

    inference_mode: Annotated[int, one_of(0, 1, 2)] = Field(
        default=0, description="0 one core, 1 throughput over cores, 2 latency over cores."
    )
    num_cores: Annotated[int, at_least(1, most=4)] = Field(default=1, description="Cores in use.")
    msmc_size_kb: Annotated[int, at_least(1, -1)] = Field(
        default=-1, alias="msmcSizeKB", description="On-chip memory to use; -1: the device's."
    )
    device_name: Annotated[int, at_least(0, -1)] = Field(
        default=-1, description="The vendor's number of the device; -1: of the tools."
    )
    debug_trace_level: Annotated[int, one_of(0, 1, 2)] = Field(
        default=0, description="How much the importer says."
    )
    write_trace_level: Annotated[int, at_least(0)] = Field(
        default=0, description="Which layers' values are written to files."
    )
    execute_network_compiler: Flag = Field(default=1, description="0: stop before compiling.")
    execute_quants_tool: Flag = Field(default=1, description="0: no calibration run.")
    packetize_mode: Annotated[int, at_least(0, -1)] = Field(
        default=-1, description="Packs sparse weights."
    )
    partial_init_during_compile: Flag = Field(
        default=0, description="1: part of the initialization is done at compile time."
    )
    batch_mode: Annotated[int, at_least(0)] = Field(default=0, description="How batches run.")
    c7x_firmware_version: str = Field(
        default="", alias="c7xFirmwareVersion",
        description="Firmware that the files are for; tools and board must agree.",
    )  # fmt: skip
    log_file_name: str = Field(default="", description="File of the importer's output.")
    perf_sim_tool: str = Field(default="", description="The vendor's performance simulator.")
    graph_viz_tool: str = Field(default="", description="The vendor's graph drawing program.")
    dump_tool: str = Field(
        default="", alias="modelDumpTool", description="The vendor's dump program."
    )
    perf_sim_config: str = Field(default="", description="Device file of the simulator.")
    tidl_stats_tool: str = Field(default="", description="The vendor's calibration program.")


class RtImport(ToolKeys, OutputKeys, InputKeys, QuantizationKeys, LayerKeys):
    """A TIDL-RT import configuration; a key that is not given has the importer's default."""
