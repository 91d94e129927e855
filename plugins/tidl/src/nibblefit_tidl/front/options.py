"""Options of the input, shared by both targets: who turns pixels into what the network takes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, JsonValue, model_validator

#: Who depends on it: `prepare` refuses what cannot be done, the others have pixels as inputs.
_READ: dict[str, JsonValue] = {"read_by": ["prepare", "quantize", "compile", "evaluate"]}
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class FrontOptions(BaseModel):
    """Options of the network's input."""

    front: Literal["none", "folded", "layers"] = Field(
        default="none",
        description="Where mean and scale of the pixels go. none: the application normalizes and "
        "the network takes what training had. folded: into the weights of the first layer, which "
        "then takes uint8 pixels. layers: into layers in front of it (data-convert layers on the "
        "accelerator; a Scale layer in the classic generation).",
        json_schema_extra=_READ,
    )
    front_border: Literal["refuse", "pad"] = Field(
        default="refuse",
        description="front = folded, where the first layer pads with zeros and a mean is not zero: "
        "refuse, or pad with the mean in a layer of its own (foldPreBnConv2D 2), which the classic "
        "generation does not have.",
        json_schema_extra=_READ,
    )
    front_mean: tuple[Finite, ...] = Field(
        default=(),
        description="Pixel means, one or one per channel; unset, they follow from data.range, "
        "data.mean and data.std.",
        json_schema_extra=_READ,
    )
    front_scale: tuple[Positive, ...] = Field(
        default=(),
        description="Factors behind the means, given together with them.",
        json_schema_extra=_READ,
    )

    @model_validator(mode="after")
    def _front_agrees(self) -> FrontOptions:
        if bool(self.front_mean) != bool(self.front_scale):
            raise ValueError("front_mean and front_scale belong together: give both, or neither")
        if self.front == "none" and (self.front_mean or self.front_border != "refuse"):
            raise ValueError(
                'front_mean, front_scale and front_border have no effect with front = "none"'
            )
        if self.front == "layers" and self.front_border != "refuse":
            raise ValueError(
                'front_border is for front = "folded"; layers in front keep the border as it is'
            )
        return self
