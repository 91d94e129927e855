"""Options of the target: the recipe's ``[target]`` table without name and part."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

#: The vendor's policies use 0.985 to 0.995 for 8 bits; 1.0 is its default.
Quantile = Annotated[float, Field(gt=0.0, le=1.0)]


class MaximOptions(BaseModel):
    """Options of target `maxim`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    qat: bool = Field(
        default=True,
        description="Train with quantization in the loop after the float training. Without it the "
        "float weights are quantized as they are, which costs accuracy.",
    )
    weight_bits: Literal[8, 4, 2, 1] = Field(
        default=8,
        description="Width of the weights: 8, 4, 2 or 1. Single layers: "
        "[quantize.layers] with weight_bits.",
    )
    shift_quantile: Quantile = Field(
        default=1.0,
        description="Share of a layer's weights that its scale must hold without clipping; below "
        "1.0 the largest weights saturate and the others gain precision. Single layers: "
        "[quantize.layers] with shift_quantile.",
    )
    activation_thresholds: bool = Field(
        default=True,
        description="Measure, before training with quantization, the power of two that each "
        "layer's output needs. Without it every activation must stay within -1 and 1.",
    )
    outlier_deviations: Annotated[float, Field(gt=0.0)] = Field(
        default=8.0,
        description="Activations further from their mean than this many standard deviations do "
        "not count when thresholds are measured.",
    )
    wide_output: bool = Field(
        default=True,
        description="A last layer without activation writes its 32-bit accumulator instead of "
        "8-bit codes.",
    )
    arch: str = Field(
        default="",
        description="Name of the architecture in YAML and checkpoint; empty: the network's name.",
    )
    dataset: str = Field(
        default="",
        description="Name of the data set in the YAML; empty: the recipe's data source.",
    )
