"""Options of the target `generic`, and the arithmetic that follows from them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from nibblefit.fixed.formats import Accumulator, Rounding
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.numerics import (
    BiasRule,
    Numerics,
    Requantization,
    RequantRule,
    ScaleKind,
    Signedness,
    TensorRule,
)
from nibblefit.quantization.qdq.layers import FUSIONS, OPERATORS

#: Float training does not depend on the arithmetic, so it is kept when that changes.
_NOT_TRAINING: dict[str, JsonValue] = {"read_by": ["prepare", "quantize", "compile", "evaluate"]}


class GenericOptions(BaseModel):
    """The recipe's ``[target]`` table beside name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scales: Literal["power_of_two", "float"] = Field(
        default="power_of_two",
        description="power_of_two: shifts only, no zero points; float: arbitrary scales, zero "
        "points, integer multiplier and shift.",
        json_schema_extra=_NOT_TRAINING,
    )
    per_channel: bool = Field(
        default=True,
        description="One weight scale per output channel instead of one per layer.",
        json_schema_extra=_NOT_TRAINING,
    )
    weight_bits: int = Field(
        default=8,
        ge=4,
        le=8,
        description="Width of weights, 4 to 8.",
        json_schema_extra=_NOT_TRAINING,
    )
    activation_bits: Literal[4, 5, 6, 7, 8, 16] = Field(
        default=8,
        description="Width of inputs and activations: 4 to 8, or 16.",
        json_schema_extra=_NOT_TRAINING,
    )
    rounding: Rounding = Field(
        default=Rounding.HALF_EVEN,
        description="Rounding of requantization: half_even (as ONNX runtimes), half_up, "
        "half_away, half_toward_zero, floor or toward_zero.",
        json_schema_extra=_NOT_TRAINING,
    )


_OWN = "definition of this target"
_STATED = (
    "inputs", "activations", "weights", "bias", "accumulator", "requant", "pooling", "fusions",
    "operators", "host_operators",
)  # fmt: skip


def numerics_of(options: GenericOptions) -> Numerics:
    """Return the arithmetic that the options ask for."""
    whole = options.scales == "power_of_two"
    scale = ScaleKind.POWER_OF_TWO if whole else ScaleKind.REAL
    wide = options.activation_bits == 16
    # Any smaller width can be asked for layer by layer.
    widths = (
        options.activation_bits,
        *(b for b in (8, 7, 6, 5, 4) if b != options.activation_bits),
    )
    weight_widths = (options.weight_bits, *(b for b in range(4, 9) if b != options.weight_bits))
    activations = TensorRule(
        widths,
        Signedness.BY_RANGE if whole else Signedness.SIGNED,
        symmetric=whole,
        scale=scale,
    )
    return Numerics(
        inputs=activations,
        activations=activations,
        weights=TensorRule(
            weight_widths, scale=scale, per_channel=options.per_channel, narrow=not whole
        ),
        bias=BiasRule(32),
        accumulator=Accumulator(48 if wide else 32),
        requant=RequantRule(
            Requantization.SHIFT if whole else Requantization.MULTIPLY_SHIFT,
            options.rounding,
            multiplier_bits=0 if whole else 24 if wide else 31,
            shift_range=(-31, 47 if wide else 31),
        ),
        pooling=options.rounding,
        fusions=FUSIONS,
        operators=OPERATORS,
        sources=frozen_mapping(dict.fromkeys(_STATED, _OWN)),
    )  # fmt: skip
