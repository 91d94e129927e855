"""Options of the three training stages, shared by both targets."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from nibblefit.recipe import Recipe
from nibblefit_tidl.sparsity.settings import SparsityOptions

#: Key of a plan step's options that says which of the three stages it is.
STAGE = "regularization"
L2, L1, SPARSE = "l2", "l1", "sparse"
#: Step of the first stage.
FIRST = "initial"

_STAGES: dict[str, JsonValue] = {"read_by": ["initial", "l1", "sparse"]}
#: Preparation says whether it can be reached; its result does not depend on it.
_LAST: dict[str, JsonValue] = {"read_by": ["prepare", "sparse"]}
Strength = Annotated[float, Field(ge=0.0, le=1.0)]


class StageOptions(BaseModel):
    """Options of the stages initial (L2), l1 and sparse."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    l2: Strength = Field(
        default=1e-4,
        description="Strength of L2 in the first stage, on the weights of convolutions and linear "
        "layers. A weight_decay set in [train] takes its place, in all stages.",
        json_schema_extra={"read_by": ["initial"]},
    )
    l1: Strength = Field(
        default=1e-5,
        description="Strength of L1 in the stages l1 and sparse, on the same weights.",
        json_schema_extra={"read_by": ["l1", "sparse"]},
    )
    bias_rate: Annotated[float, Field(ge=0.0, le=100.0)] = Field(
        default=1.0,
        description="Factor on the learning rate of biases, which have no decay; 2 in TI's files.",
        json_schema_extra=_STAGES,
    )
    l1_stage: bool = Field(
        default=True,
        description="Fine-tune with L1 before the sparse stage. TI's ImageNet recipe leaves this "
        "out: L1 then acts in the sparse stage alone.",
    )
    sparsity: SparsityOptions = Field(
        default=SparsityOptions(),
        description="The sparse stage; see the keys of [target.sparsity].",
        json_schema_extra=_LAST,
    )
    sparsify: bool = Field(
        default=True, description="Run the stages l1 and sparse; false trains a dense network."
    )
    search: tuple[float, ...] = Field(
        default=(),
        description="Sparsities to try, such as [0.5, 0.6, 0.7, 0.8]: each is trained from the "
        "same start, and the highest within evaluate.max_drop goes on.",
    )

    @field_validator("search")
    @classmethod
    def _search_in_range(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0.0 < one <= 0.95 for one in value) or len(set(value)) != len(value):
            raise ValueError("different numbers above 0, at most 0.95")
        return value


def has_decay(recipe: Recipe, step: str) -> bool:
    """Return whether a recipe sets a decay for a step, which takes the place of `l2`."""
    key, base = "weight_decay", step.split("@", maxsplit=1)[0]
    return key in recipe.train.model_fields_set or key in recipe.train_steps.get(base, {})
