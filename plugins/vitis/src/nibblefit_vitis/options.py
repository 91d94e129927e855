"""Options of target `vitis`: the recipe's ``[target]`` table without name and part."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

#: Who reads the configuration: all but float training.
_CONFIGURED: list[JsonValue] = ["prepare", "qat", "quantize", "compile", "evaluate"]
CODES: dict[str, JsonValue] = {"read_by": _CONFIGURED}
CODES_FILE: dict[str, JsonValue] = {"read_by": _CONFIGURED, "file": True}
#: What calibration depends on, and quantized training.
FORMATS: dict[str, JsonValue] = {"read_by": ["qat", "quantize", "evaluate"]}
#: What calibration alone depends on.
CALIBRATION: dict[str, JsonValue] = {"read_by": ["quantize"]}
#: What the written files alone depend on.
WRITTEN_FILE: dict[str, JsonValue] = {"read_by": ["compile"], "file": True}

#: Which format gives way where a shift leaves the hardware's range; see `alignment.align`.
Direction = Literal["output", "weights"]


class VitisOptions(BaseModel):
    """Options of target `vitis`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    configuration: str = Field(
        default="",
        description="Vitis AI's quantization configuration: a JSON file below the recipe's folder, "
        "or one of the presets that `nibblefit vitis presets` lists. Empty: `settings`.",
        json_schema_extra=CODES_FILE,
    )
    settings: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="The same keys as in such a file, written here. Not together with "
        "`configuration`.",
        json_schema_extra=CODES,
    )
    parity: bool = Field(
        default=False,
        description="Do what the original tool does: its defaults, its statistics per batch, and "
        "no heed to the keys it ignores, which are reported. Otherwise every setting works or is "
        "refused.",
        json_schema_extra=CODES,
    )
    alignment: Direction = Field(
        default="output",
        description="What changes where a layer's shift leaves the DPU's range: its output's "
        "format (as in Vitis AI) or that of its weights (as in AMD Quark).",
        json_schema_extra=FORMATS,
    )
    batch_size: int = Field(
        default=32,
        ge=1,
        le=4096,
        description="Samples per calibration batch. Results depend on it only where each batch "
        "has a vote: with parity, or with calib_statistic_method modal, max, mean or median.",
        json_schema_extra=CALIBRATION,
    )
    arch: str = Field(
        default="",
        description="Name or fingerprint (0x…) of the DPU, or an arch.json below the recipe's "
        "folder, where the board's is not the usual one. Empty: the part's.",
        json_schema_extra=WRITTEN_FILE,
    )
    fast_finetune: bool = Field(
        default=False,
        description="Train weights and biases layer by layer after calibration.",
        json_schema_extra=CALIBRATION,
    )
    finetune_epochs: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Most passes over the calibration samples per layer, with `fast_finetune`.",
        json_schema_extra=CALIBRATION,
    )
    qat: bool = Field(
        default=False,
        description="Train on with quantization in the loop and trained thresholds after the "
        "float training; settings in [train.qat].",
        json_schema_extra={"read_by": ["prepare"]},
    )

    @model_validator(mode="after")
    def _one_configuration(self) -> VitisOptions:
        if self.configuration and self.settings:
            raise ValueError("configuration and settings exclude each other: keep one of them")
        return self

    @model_validator(mode="after")
    def _epochs_are_trained(self) -> VitisOptions:
        default = type(self).model_fields["finetune_epochs"].default
        if self.finetune_epochs != default and not self.fast_finetune:
            raise ValueError("finetune_epochs has no effect without fast_finetune = true")
        return self
