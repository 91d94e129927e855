"""One entry of ``[quantize.layers]`` where core quantizes; reading it needs no torch."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field

#: Name of a range method, see `nibblefit.quantization.ranges.Method`.
MethodName: TypeAlias = Literal["minmax", "percentile", "mse", "entropy"]
METHOD_NAMES: tuple[str, ...] = get_args(MethodName)


class LayerOptions(BaseModel):
    """Settings of the layers that a name or glob means; what is unset stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weight_bits: int | None = Field(default=None, ge=1, le=32, description="Width of weights.")
    activation_bits: int | None = Field(
        default=None, ge=1, le=32, description="Width of the layer's output."
    )
    method: MethodName | None = Field(
        default=None, description="How its ranges are chosen, as quantize.method."
    )
    percentile: float | None = Field(
        default=None, gt=0, le=100, description="For method = percentile."
    )
