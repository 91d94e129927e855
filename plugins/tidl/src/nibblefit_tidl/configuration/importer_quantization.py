"""Keys of the TIDL-RT importer about arithmetic and calibration.

Source of this and its sibling modules: TI's published importer of 2025 (defaults, ranges,
validation) and the TIDL-RT user guide 8.2.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nibblefit_tidl.configuration.fields import (
    Configuration,
    Finite,
    Flag,
    Percent,
    Positive,
    at_least,
    one_of,
)

SYMMETRIC, POWER_OF_TWO = 2, 3
Frames = Annotated[int, at_least(1, -1)]


class QuantizationKeys(Configuration):
    """How numbers are chosen."""

    quantization_style: Annotated[int, at_least(0, most=3)] = Field(
        default=SYMMETRIC,
        description="0 from caffe-jacinto, 1 dynamic, 2 symmetric with any scale, 3 symmetric with "
        "powers of two.",
    )
    calibration_option: Annotated[int, at_least(0, most=127)] = Field(
        default=0,
        description="Sum of 1 (ranges of activations by histogram), 2 (ranges of weights), 4 (bias "
        "calibration), 8 (one weight scale per channel in depthwise layers), 64 (ranges as given, "
        "for networks trained with quantization).",
    )
    pre_quantized_model: Flag = Field(
        default=0, description="1: the network carries its own quantization (QDQ)."
    )
    enable_bias_fusion: Flag = Field(default=0, description="1: biases are fused.")
    activation_range_method: Annotated[int, one_of(0)] = Field(
        default=0, description="0: histogram."
    )
    weight_range_method: Flag = Field(default=1, description="0 histogram, 1 median.")
    percentile_act_range_shrink: Annotated[float, Field(ge=0.0, lt=50.0)] = Field(
        default=0.01, description="Percent of activations left out on each side."
    )
    percentile_wt_range_shrink: Annotated[float, Field(ge=0.0, lt=50.0)] = Field(
        default=0.01, description="Percent of weights left out on each side."
    )
    bias_calibration_factor: Positive = Field(
        default=0.05,
        description="Share of the mean error that a round of bias calibration corrects; the "
        "importer's own help says 0.1, its code 0.05.",
    )
    bias_calibration_iterations: Annotated[int, at_least(0, -1)] = Field(
        default=-1, description="Rounds of bias calibration; -1 leaves it to the importer."
    )
    num_frames: Frames = Field(default=-1, description="Calibration frames; -1: all of inData.")
    num_frames_bias_calibration: Frames = Field(
        default=-1, description="Frames of bias calibration; -1: as numFrames."
    )
    quant_round_add: Percent = Field(
        default=50, description="Percent of a step added before truncation, 0 to 100."
    )
    num_param_bits: Annotated[int, at_least(4, 32, most=16)] = Field(
        default=8, description="Width of weights, 4 to 16; 32 is float on the host."
    )
    num_feature_bits: Annotated[int, one_of(8, 16, 32)] = Field(
        default=8, description="Width of activations: 8, 16, or 32 for float on the host."
    )
    output_feature16bit_names_list: str = Field(
        default="", alias="outputFeature16bitNamesList",
        description="Output tensors with 16 bits, separated by commas; their weights follow.",
    )  # fmt: skip
    params16bit_names_list: str = Field(
        default="", alias="params16bitNamesList",
        description="Output tensors whose weights alone have 16 bits.",
    )  # fmt: skip
    mixed_precision_factor: Finite = Field(
        default=-1.0,
        description="Latency that automatic mixed precision may cost, as a factor on 8 bits; -1 "
        "off.",
    )
    enable_high_res_optimization: Flag = Field(
        default=0, description="1: optimize for large inputs; excludes mixed precision at 8 bits."
    )
    quant_range_update_factor: Finite = Field(
        default=-1.0, description="Weight of a new frame in running ranges; -1: the importer's."
    )
    quant_range_expansion_factor: Positive = Field(
        default=1.0, description="Factor on measured ranges."
    )
    quant_params_prototxt_file: str = Field(
        default="",
        description="Quantization parameters as text: written if absent; read, and calibration "
        "skipped, if there.",
    )
