"""Options of target `tidl-classic`: the recipe's ``[target]`` table without name and part."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from nibblefit_tidl.front.options import FrontOptions
from nibblefit_tidl.sparsity.options import StageOptions

#: What the integers depend on; float training is kept when it changes.
CODES: dict[str, JsonValue] = {"read_by": ["quantize", "compile", "evaluate"]}
Percent = Annotated[int, Field(ge=0, le=100)]

Kernel = Literal["auto", "sparse", "dense"]


class ClassicOptions(FrontOptions, StageOptions):
    """Options of target `tidl-classic`."""

    parameter_bits: Annotated[int, Field(ge=4, le=12)] = Field(
        default=8,
        description="Width of weights, 4 to 12 (numParamBits). Above 8 a weight takes two bytes.",
        json_schema_extra=CODES,
    )
    round_add: Percent = Field(
        default=50,
        description="Percent of a step added before a weight is truncated (quantRoundAdd); 50 "
        "rounds to the nearest.",
        json_schema_extra=CODES,
    )
    frames: Literal["still", "video"] = Field(
        default="still",
        description="What the frames are. still: every frame chooses its shifts from its own "
        "range (history 0, 0, margin 0). video: from a running range (history 20, 5, margin 0).",
        json_schema_extra=CODES,
    )
    history_first: Percent | None = Field(
        default=None,
        description="Weight in percent during the first frames (quantHistoryParam1); unset: as "
        "`frames` says.",
        json_schema_extra=CODES,
    )
    history: Percent | None = Field(
        default=None,
        description="Weight in percent after them (quantHistoryParam2); unset: as `frames` says.",
        json_schema_extra=CODES,
    )
    history_weighs: Literal["past", "frame"] = Field(
        default="past",
        description="What the two weights apply to, which the vendor does not say: past is the "
        "range of the frames before, frame that of the current one. With 0 nothing is kept of the "
        "past either way.",
        json_schema_extra=CODES,
    )
    first_frames: Annotated[int, Field(ge=0)] = Field(
        default=10,
        description="How many frames history_first holds for; the vendor gives no number.",
        json_schema_extra=CODES,
    )
    margin: Percent | None = Field(
        default=None,
        description="Percent added to the running range (quantMargin); unset: as `frames` says.",
        json_schema_extra=CODES,
    )
    cores: Literal["best", "eve", "dsp"] = Field(
        default="best",
        description="Processor of each layer in the import configuration (layersGroupId): best is "
        "the placement with the shortest estimated latency, with at most one change; or all on "
        "one kind of core.",
        json_schema_extra={"read_by": ["compile"]},
    )
    kernel: Kernel | dict[str, Kernel] = Field(
        default="auto",
        description="Kernel of convolutions on EVE (conv2dKernelType): auto, sparse or dense, or "
        'by layer name: {"conv2" = "sparse"}; layers left out are auto.',
        json_schema_extra=CODES,
    )
