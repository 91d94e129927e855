"""The classic importer's configuration (AM57xx, TDA2x, TDA3x), as a model.

Source of keys, ranges and defaults: TI user guide, Processor SDK Linux 5.x/6.x, and the published
importer (0.8 to 1.x).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nibblefit_tidl.configuration.fields import (
    Configuration,
    Flag,
    Percent,
    Unset,
    at_least,
    one_of,
)

CAFFE, TENSORFLOW, ONNX, TFLITE = range(4)
Kernel = Annotated[int, one_of(-1, 0, 1)]
Group = Annotated[int, one_of(0, 1, 2)]


class ClassicImport(Configuration):
    """A classic import configuration; a key that is not given has the importer's default."""

    rand_params: Flag = Field(
        default=0, description="1: random weights, to estimate speed without a trained network."
    )
    model_type: Annotated[int, one_of(0, 1, 2, 3)] = Field(
        default=CAFFE,
        description="0 Caffe, 1 TensorFlow; the last releases also 2 ONNX, 3 TFLite.",
    )
    quantization_style: Flag = Field(
        default=1, description="1: ranges are found by the importer and at run time. 0 is refused."
    )
    quant_round_add: Percent = Field(
        default=50, description="Percent of a step added before a weight is truncated, 0 to 100."
    )
    num_param_bits: Annotated[int, at_least(4, most=12)] = Field(
        default=8, description="Width of weights, 4 to 12."
    )
    pre_proc_type: Annotated[int, at_least(0, most=4)] = Field(
        default=0,
        description="Recipe for encoded sample images. 0: resize 256, centre crop, BGR, no mean; "
        "1: as 0 with mean 104, 117, 123; 2: RGB, central 87.5 %, minus 128; 3: RGB 32x32, no "
        "mean; 4: resize to the network, BGR, no mean.",
    )
    conv2d_kernel_type: tuple[Kernel, ...] = Field(
        default=(), alias="conv2dKernelType",
        description="Kernel on EVE, one value or one per layer: 0 sparse, 1 dense, -1 automatic.",
    )  # fmt: skip
    layers_group_id: tuple[Group, ...] = Field(
        default=(),
        description="Processor of each layer: 0 data layers, 1 EVE, 2 DSP. Each group is one run "
        "of neighbours.",
    )
    in_element_type: Flag = Field(
        default=1, description="Input codes: 0 unsigned, 1 signed 8 bits."
    )
    in_quant_factor: Unset = Field(
        default=-1,
        description="255 times the input codes per unit: 255 where codes are the values, 128*255 "
        "where 128 is 1.0; -1 chooses these for Caffe and TensorFlow.",
    )
    raw_sample_in_data: Flag = Field(
        default=0, description="sampleInData is 0: an encoded image, 1: raw codes, planar."
    )
    num_sample_in_data: Annotated[int, at_least(1)] = Field(
        default=1, description="Frames in sampleInData; shifts of the first frames come from them."
    )
    fold_bn_in_conv2d: Flag = Field(
        default=1, alias="foldBnInConv2D",
        description="1: batch norm goes into the convolution before it.",
    )  # fmt: skip
    in_width: Unset = Field(default=-1, description="Columns of the input; -1: from the network.")
    in_height: Unset = Field(default=-1, description="Rows of the input; -1: from the network.")
    in_num_channels: Annotated[int, at_least(1, -1, most=1024)] = Field(
        default=-1, description="Channels of the input, at most 1024; -1: from the network."
    )
    sample_in_data: str = Field(default="", description="Calibration frames.")
    tidl_stats_tool: str = Field(
        default="", description="The vendor's program that runs the frames on the host."
    )
    input_net_file: str = Field(default="", description="Network: prototxt, or frozen graph.")
    input_params_file: str = Field(default="", description="Weights: caffemodel; Caffe alone.")
    output_net_file: str = Field(default="", description="Network that the importer writes.")
    output_params_file: str = Field(default="", description="Weights that the importer writes.")
