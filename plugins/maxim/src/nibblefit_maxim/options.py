"""Options of the target: the recipe's ``[target]`` table without name and part."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from nibblefit_maxim.numerics import BINARY

#: The vendor's policies use 0.985 to 0.995 for 8 bits; 1.0 is its default.
Quantile = Annotated[float, Field(gt=0.0, le=1.0)]
WeightBits: TypeAlias = Literal[8, 4, 2, 1, "binary"]
#: The vendor's two ways of training: clipped to ±1 from the start, or with measured thresholds.
Generation: TypeAlias = Literal["v1", "v2"]
#: Factor on folded batch norm. Source: ai8x-training c3d4eb1 `fuse_bn_layers`, pull request 331.
BATCH_NORM_FACTOR: dict[Generation, float] = {"v1": 0.25, "v2": 1.0}


class SearchOptions(BaseModel):
    """Mixed precision: how few bits per layer the accuracy allows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bits: tuple[WeightBits, ...] = Field(
        default=(8, 4, 2, 1),
        description="Widths a layer may get; the search starts at the widest. On the MAX78002 "
        '"binary" may take the place of 1.',
    )
    max_drop: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        default=0.01,
        description="The validation metric may be this much worse than with the widest weights.",
    )
    samples: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Validation samples per candidate; 0 uses all."
    )
    epochs: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Epochs of quantized training per candidate before it is measured; 0 measures "
        "the quantized float weights, which is quick and judges low widths too harshly.",
    )

    @field_validator("bits")
    @classmethod
    def _bits_differ(cls, value: tuple[WeightBits, ...]) -> tuple[WeightBits, ...]:
        bits = [_bits(width) for width in value]
        if len(bits) < 2 or len(set(bits)) < len(bits):
            raise ValueError("two or more different widths of 8, 4, 2 and 1; binary counts as 1")
        return tuple(sorted(value, key=_bits, reverse=True))

    @property
    def widths(self) -> tuple[int, ...]:
        """Bits of a weight by choice, the widest first."""
        return tuple(_bits(width) for width in self.bits)

    def named(self, bits: int) -> int | str:
        """Return the width as recipes state it: one bit may stand for binary weights."""
        return BINARY if bits == 1 and BINARY in self.bits else bits


def _bits(width: int | str) -> int:
    return 1 if width == BINARY else int(width)


class LayerOptions(BaseModel):
    """One entry of ``[quantize.layers]``; what is unset stays as it is for the whole network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight_bits: WeightBits | None = Field(default=None, description="Width of the weights.")
    shift_quantile: Quantile | None = Field(
        default=None, description="Share of the weights that the scale must hold."
    )


#: What quantized codes depend on; float training is kept when it changes.
_CODES: dict[str, JsonValue] = {
    "read_by": ["prepare", "search", "qat", "quantize", "compile", "evaluate"]
}
#: What only the written files depend on.
_FILES: dict[str, JsonValue] = {"read_by": ["compile"]}


class MaximOptions(BaseModel):
    """Options of target `maxim`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    qat: bool = Field(
        default=True,
        description="Train with quantization in the loop after the float training. Without it the "
        "float weights are quantized as they are, which costs accuracy.",
    )
    generation: Generation = Field(
        default="v2",
        description="v2 measures an activation threshold per layer when QAT starts. v1 is the "
        "vendor's older way: everything is clipped to -1 ... 1 already in float training, batch "
        "norm counts a quarter, and there are no thresholds.",
    )
    start_epoch: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Train in one phase that starts QAT before this epoch, counted from 0, as the "
        "vendor's policies do; settings in [train.qat]. Unset: a float phase, then a QAT phase.",
    )
    search: SearchOptions | None = Field(
        default=None,
        description="Search the fewest bits per layer before QAT: {bits = [8, 4, 2], max_drop = "
        "0.01}. Layers set in [quantize.layers] keep their width.",
        json_schema_extra=_CODES,
    )
    weight_bits: WeightBits = Field(
        default=8,
        description='Width of the weights: 8, 4, 2, 1, or on the MAX78002 "binary" (plus and minus '
        "one). Single layers: [quantize.layers] with weight_bits.",
        json_schema_extra=_CODES,
    )
    shift_quantile: Quantile = Field(
        default=1.0,
        description="Share of a layer's weights that its scale must hold without clipping; below "
        "1.0 the largest weights saturate and the others gain precision. Single layers: "
        "[quantize.layers] with shift_quantile.",
        json_schema_extra=_CODES,
    )
    activation_thresholds: bool = Field(
        default=True,
        description="Measure, before training with quantization, the power of two that each "
        "layer's output needs. Without it every activation must stay within -1 and 1.",
        json_schema_extra=_CODES,
    )
    outlier_deviations: Annotated[float, Field(gt=0.0)] = Field(
        default=8.0,
        description="Activations further from their mean than this many standard deviations do "
        "not count when thresholds are measured.",
        json_schema_extra=_CODES,
    )
    wide_output: bool = Field(
        default=True,
        description="A last layer without activation writes its 32-bit accumulator instead of "
        "8-bit codes.",
    )
    rounds_averages: bool = Field(
        default=False,
        description="2-D average pools round half away from zero instead of truncating; the "
        "compiler must then be called with --avg-pool-rounding.",
    )
    approximations: tuple[Literal["relu6"], ...] = Field(
        default=(),
        description='Functions that may be replaced by similar ones before training: ["relu6"] '
        "turns relu6 into relu. How far the outputs move is reported.",
    )
    arch: str = Field(
        default="",
        description="Name of the architecture in YAML and checkpoint; empty: the network's name.",
        json_schema_extra=_FILES,
    )
    dataset: str = Field(
        default="",
        description="Name of the data set in the YAML; empty: the recipe's data source.",
        json_schema_extra=_FILES,
    )

    @model_validator(mode="after")
    def _phases_agree(self) -> MaximOptions:
        if self.start_epoch is not None and not self.qat:
            raise ValueError(
                "start_epoch starts quantized training, which qat = false switches off"
            )
        if self.start_epoch is not None and self.search is not None:
            raise ValueError("search stands between two phases; leave start_epoch out")
        return self

    @property
    def measures_thresholds(self) -> bool:
        """Whether activations get thresholds; those of the first generation have none."""
        return self.activation_thresholds and self.generation == "v2"
