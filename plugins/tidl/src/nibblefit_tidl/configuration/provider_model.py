"""Options of ONNX Runtime's TIDL providers, as a model.

Source of keys, ranges and defaults: edgeai-tidl-tools 11_00_06_00 and edgeai-benchmark 11.2 of
edgeai-tensorlab (f272548).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from nibblefit_tidl.configuration.fields import Finite, Flag, at_least, one_of

#: What keys of the nested group begin with.
ADVANCED = "advanced_options:"
#: Options of that group that only accuracy_level 9 looks at.
LEVEL_9 = ("activation_clipping", "weight_clipping", "bias_calibration",
           "channel_wise_quantization")  # fmt: skip


def _key(name: str) -> str:
    """Return the vendor's key of a field of the nested group."""
    return f"{ADVANCED}{name}"


class GeneralOptions(BaseModel):
    """Options outside the nested group."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True,
                              protected_namespaces=())  # fmt: skip

    tidl_tools_path: str = Field(
        default="", alias="tidl_tools_path", description="Folder of the vendor's tools."
    )
    artifacts_folder: str = Field(
        default="", alias="artifacts_folder",
        description="Where compiling writes and running reads; must exist, empty for compiling.",
    )  # fmt: skip
    platform: str = Field(
        default="", alias="platform", description="Device family of older releases: J7, AM62A."
    )
    version: str = Field(default="", alias="version", description="Release, older releases.")
    tensor_bits: Annotated[int, one_of(8, 16, 32)] = Field(
        default=8, alias="tensor_bits", description="Width of data; 32 is float, on the host only."
    )
    debug_level: Annotated[int, at_least(0, most=6)] = Field(
        default=0, alias="debug_level",
        description="0 to 6; 3 writes every layer's values, 4 also the float ones.",
    )  # fmt: skip
    max_num_subgraphs: Annotated[int, at_least(1, most=16)] = Field(
        default=16, alias="max_num_subgraphs", description="Parts of the network that TIDL runs."
    )
    accuracy_level: Annotated[int, one_of(0, 1, 2, 9)] = Field(
        default=1, alias="accuracy_level",
        description="0: ranges as they are (after quantized training); 1: calibrated; 2: extremes "
        "over all frames; 9: as the four single options say.",
    )  # fmt: skip
    deny_list: str = Field(default="", alias="deny_list", description="Operators kept on ARM.")
    deny_layer_types: str = Field(
        default="", alias="deny_list:layer_type", description="Operators kept on ARM, by type."
    )
    deny_layer_names: str = Field(
        default="", alias="deny_list:layer_name", description="Layers kept on ARM, by name."
    )
    allow_layer_names: str = Field(
        default="", alias="allow_list:layer_name", description="Only these layers run on TIDL."
    )
    model_type: str = Field(
        default="", alias="model_type", description="OD for object detection, else empty."
    )
    meta_layers_names_list: str = Field(
        default="", alias="object_detection:meta_layers_names_list",
        description="Prototxt that describes the detection head.",
    )  # fmt: skip
    meta_arch_type: Annotated[int, at_least(0, -1)] = Field(
        default=-1, alias="object_detection:meta_arch_type",
        description="Detection head: 3 SSD, 6 YOLOX, 8 and others; -1 none.",
    )  # fmt: skip
    core_number: Annotated[int, at_least(1)] = Field(
        default=1, alias="core_number", description="Core that runs, from 1; at run time."
    )
    core_start_idx: Annotated[int, at_least(1)] = Field(
        default=1, alias="core_start_idx", description="First core of several, from 1."
    )
    ti_internal_nc_flag: int = Field(
        default=1601, alias="ti_internal_nc_flag", description="For the network compiler; leave it."
    )


class ProviderOptions(GeneralOptions):
    """Options of a provider; those not given have the provider's default."""

    model_config = ConfigDict(alias_generator=_key)

    calibration_frames: Annotated[int, at_least(1)] = Field(
        default=20,
        description="Calibration frames; at least 10, better 50.",
    )
    calibration_iterations: Annotated[int, at_least(1, -1)] = Field(
        default=50,
        description="Rounds of bias calibration; -1 with quantized training.",
    )
    quantization_scale_type: Annotated[int, one_of(0, 1, 3, 4)] = Field(
        default=0,
        description="0 symmetric, 1 powers of two, 3 as TFLite, 4 asymmetric with one weight scale "
        "per channel.",
    )
    output_feature_16bit_names_list: str = Field(
        default="",
        description="Output tensors with 16 bits, commas; their weights follow.",
    )
    params_16bit_names_list: str = Field(
        default="",
        description="Output tensors whose weights alone have 16 bits.",
    )
    mixed_precision_factor: Finite = Field(
        default=-1.0,
        description="Latency that automatic mixed precision may cost, as a factor; -1 off.",
    )
    activation_clipping: Flag = Field(default=1, description="Level 9: clip activations.")
    weight_clipping: Flag = Field(default=1, description="Level 9: clip weights.")
    bias_calibration: Flag = Field(default=1, description="Level 9: correct biases.")
    channel_wise_quantization: Flag = Field(
        default=0,
        description="Level 9: one weight scale per channel in depthwise layers.",
    )
    prequantized_model: Flag = Field(
        default=0,
        description="1: the network carries its own quantization (QDQ).",
    )
    quant_params_proto_path: str = Field(
        default="",
        description="Quantization parameters: written if absent, read if there.",
    )
    high_resolution_optimization: Flag = Field(
        default=0,
        description="1: optimize for large inputs.",
    )
    pre_batchnorm_fold: Flag = Field(
        default=1,
        description="1: a batch norm goes into the convolution behind it.",
    )
    add_data_convert_ops: Annotated[int, at_least(0, most=3)] = Field(
        default=0,
        description="Conversion on the accelerator: 0 none (on ARM), 1 input, 2 output, 3 both.",
    )
    inference_mode: Annotated[int, one_of(0, 1, 2)] = Field(
        default=0,
        description="0 one core, 1 throughput over cores, 2 latency over cores.",
    )
    num_cores: Annotated[int, at_least(1, most=4)] = Field(default=1, description="Cores in use.")
    max_num_subgraph_nodes: Annotated[int, at_least(1)] = Field(
        default=864, description="Nodes of one part."
    )
    network_name: str = Field(default="Subgraph", description="Name in logs.")
    c7x_firmware_version: str = Field(
        default="11_00_00_00",
        description="Firmware that the files are for.",
    )
    log_file_name: str = Field(default="", description="Log file.")
    temp_buffer_dir: str = Field(
        default="/dev/shm",  # noqa: S108 - the provider's own default
        description="Folder for temporary files.",
    )
    partial_init_during_compile: Flag = Field(
        default=0,
        description="1: part of the initialization is done at compile time.",
    )
    batch_mode: Annotated[int, at_least(0)] = Field(default=0, description="How batches run.")
    packetize_mode: Annotated[int, at_least(0)] = Field(
        default=0, description="Packs sparse weights."
    )
    enable_custom_layers: Flag = Field(default=0, description="1: layers of your own.")
    custom_layers_names_list: str = Field(default="", description="Names of those layers.")
    single_core_layers_names_list: str = Field(
        default="",
        description="Layers kept on one core.",
    )

    def flat(self) -> dict[str, Any]:
        """Return the options that were given, by the vendor's keys, in the model's order."""
        fields = type(self).model_fields.items()
        return {str(field.alias): getattr(self, name) for name, field in fields
                if name in self.model_fields_set}  # fmt: skip
