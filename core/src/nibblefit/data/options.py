"""Options of a reader or a task: validated like the recipe, all problems reported together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nibblefit.errors import RecipeError, did_you_mean


class ReaderOptions(BaseModel):
    """Base of all option tables: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ScaleOptions(ReaderOptions):
    """Options of sources whose files do not say what their numbers stand for."""

    lowest: float | None = Field(default=None, description="Stored value at the range's start.")
    full_scale: float | None = Field(default=None, description="Stored value at the range's end.")


Options = TypeVar("Options", bound=BaseModel)


def read_options(
    kind: type[Options], given: Mapping[str, Any], where: str, key: str = "data.options"
) -> Options:
    """Validate an option table.

    Raises:
        RecipeError: Every problem, with the closest known key for an unknown one.
    """
    try:
        return kind(**given)
    except ValidationError as error:
        problems = [_explain(problem, kind) for problem in error.errors()]
        raise RecipeError(
            f"{key} does not fit '{where}'",
            hint="known: " + (", ".join(kind.model_fields) or "none"),
            problems=problems,
        ) from error


def _explain(problem: Any, kind: type[BaseModel]) -> str:
    name = ".".join(str(step) for step in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"{name}: {problem['msg']}, found {problem['input']!r}"
    return f"{name}: unknown; {did_you_mean(name, kind.model_fields)}"
