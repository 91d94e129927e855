"""Options of target `tidl`: the recipe's ``[target]`` table without name and part."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from nibblefit_tidl.configuration.provider_model import LEVEL_9
from nibblefit_tidl.front.options import FrontOptions
from nibblefit_tidl.sparsity.options import StageOptions
from nibblefit_tidl.tables.schema import Release

#: What the integers depend on; float training is kept when it changes.
CODES: dict[str, JsonValue] = {"read_by": ["prepare", "qat", "quantize", "compile", "evaluate"]}
#: What only calibration depends on.
CALIBRATION: dict[str, JsonValue] = {"read_by": ["quantize", "compile", "evaluate"]}
#: What calibration depends on, and whether a device has the layers.
WIDTHS: dict[str, JsonValue] = {"read_by": ["prepare", "quantize", "compile", "evaluate"]}
#: What only the written files depend on.
FILES: dict[str, JsonValue] = {"read_by": ["compile"]}

ScaleType = Literal[0, 1, 3, 4]
Share = Annotated[float, Field(ge=0.0, lt=50.0)]


class TidlOptions(FrontOptions, StageOptions):
    """Options of target `tidl`."""

    sparsify: bool = Field(
        default=False,
        description="Run the stages l1 and sparse. Zeros cost nothing less on these devices unless "
        "the tools pack them, so a dense network is the default.",
    )
    quantization_scale_type: ScaleType | None = Field(
        default=None,
        description="0: symmetric, any scale; 1: symmetric, powers of two; 3: as TensorFlow Lite; "
        "4: asymmetric activations, one weight scale per channel. Unset: 1 on TDA4VM, which has "
        "neither zero points nor scales per channel, and 4 elsewhere, as in the vendor's presets.",
        json_schema_extra=CODES,
    )
    release: Release = Field(
        default="11.0",
        description="Release of TI's tools whose operator table holds; newer is the one published "
        "after 11.0.",
        json_schema_extra={"read_by": ["prepare", "compile"]},
    )
    tensor_bits: Literal[8, 16, 32] = Field(
        default=8,
        description="Width of weights and activations; 32 is float emulation on the host, for "
        "debugging: nothing is quantized.",
        json_schema_extra=CODES,
    )
    qat: bool = Field(
        default=False,
        description="Train on with quantization in the loop after the float training; settings in "
        "[train.qat]. Advised: sgd, learning_rate 1e-5, 25 to 50 epochs.",
    )
    qat_averaging: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        default=0.1,
        description="Share of a batch's range in the running ranges of quantized training.",
        json_schema_extra={"read_by": ["qat"]},
    )
    accuracy_level: Literal[0, 1, 2, 9] | None = Field(
        default=None,
        description="0: ranges as they are (calibration flags 64); 1: histogram of activations, "
        "clipped weights, bias calibration (7); 2: extremes over all frames; 9: as the four "
        "options below say. Unset: 0 after quantized training, else 1.",
        json_schema_extra=CALIBRATION,
    )
    activation_clipping: bool = Field(
        default=True,
        description="Level 9: leave out the outermost activations.",
        json_schema_extra=CALIBRATION,
    )
    weight_clipping: bool = Field(
        default=True,
        description="Level 9: clip outlying weights.",
        json_schema_extra=CALIBRATION,
    )
    narrow_bias: Literal["word", "product"] = Field(
        default="word",
        description="How the matrix accelerator of TDA4VM carries biases, which the vendor "
        'describes as "roughly 16 bits": word, or the product of an 8-bit code and one factor per '
        "layer, which is the pessimistic reading.",
        json_schema_extra=CALIBRATION,
    )
    bias_calibration: bool = Field(
        default=True,
        description="Level 9: correct biases by the mean error of each channel.",
        json_schema_extra=CALIBRATION,
    )
    channel_wise_quantization: bool = Field(
        default=False,
        description="Level 9: one weight scale per channel in depthwise convolutions; without "
        "meaning for scale type 4, which has it everywhere.",
        json_schema_extra=CALIBRATION,
    )
    weight_range_method: Literal["median", "histogram"] = Field(
        default="median",
        description="How outlying weights are found: above 16 medians, or the outermost share.",
        json_schema_extra=CALIBRATION,
    )
    activation_range_shrink: Share = Field(
        default=0.01,
        description="Percent of the activations left out on each side.",
        json_schema_extra=CALIBRATION,
    )
    weight_range_shrink: Share = Field(
        default=0.01,
        description="Percent of the weights left out on each side, method histogram.",
        json_schema_extra=CALIBRATION,
    )
    calibration_iterations: Annotated[int, Field(ge=0)] = Field(
        default=50,
        description="Rounds of bias calibration.",
        json_schema_extra=CALIBRATION,
    )
    calibration_frames: Annotated[int, Field(gt=0)] = Field(
        default=50,
        description="Frames of bias calibration; at least 10 are advised. Ranges are measured on "
        "quantize.calibration_samples.",
        json_schema_extra=CALIBRATION,
    )
    bias_calibration_factor: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        default=0.05,
        description="Share of the mean error that each round corrects.",
        json_schema_extra=CALIBRATION,
    )
    output_feature_16bit_names: tuple[str, ...] = Field(
        default=(),
        description="Output tensors (or layers) with 16-bit values; the layer's weights follow.",
        json_schema_extra=WIDTHS,
    )
    params_16bit_names: tuple[str, ...] = Field(
        default=(),
        description="Output tensors (or layers) whose weights alone have 16 bits.",
        json_schema_extra=CALIBRATION,
    )
    mixed_precision_factor: Annotated[float, Field(gt=1.0)] | None = Field(
        default=None,
        description="Let the most sensitive layers have 16 bits, up to this factor on the "
        "latency of 8 bits.",
        json_schema_extra=CALIBRATION,
    )
    high_resolution_optimization: bool = Field(
        default=False,
        description="Optimize for large inputs; excludes mixed precision at 8 bits.",
        json_schema_extra=FILES,
    )

    @model_validator(mode="after")
    def _options_agree(self) -> TidlOptions:
        mixed = (
            self.output_feature_16bit_names
            or self.params_16bit_names
            or self.mixed_precision_factor is not None
        )
        if mixed and self.tensor_bits != 8:
            raise ValueError(f"mixed precision starts from tensor_bits = 8, not {self.tensor_bits}")
        if mixed and self.high_resolution_optimization:
            raise ValueError("high_resolution_optimization excludes mixed precision at 8 bits")
        if self.qat and self.tensor_bits == 32:
            raise ValueError("tensor_bits = 32 quantizes nothing, so there is nothing to train")
        if self.qat and self.quantization_scale_type in (0, 3):
            raise ValueError(
                "qat trains with powers of two (quantization_scale_type 1) or asymmetric (4), not "
                f"{self.quantization_scale_type}"
            )
        return self

    @model_validator(mode="after")
    def _single_options_are_looked_at(self) -> TidlOptions:
        for name in LEVEL_9:
            default = type(self).model_fields[name].default
            if getattr(self, name) != default and self.accuracy_level != 9:
                raise ValueError(
                    f"{name} has no effect without accuracy_level = 9: set that, or leave it out"
                )
        if self.channel_wise_quantization and self.quantization_scale_type == 4:
            raise ValueError(
                "channel_wise_quantization has no effect with quantization_scale_type = 4, which "
                "has one weight scale per channel everywhere: leave it out"
            )
        return self
