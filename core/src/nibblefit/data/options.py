"""Options of a reader or a task: validated like the recipe, all problems reported together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field

from nibblefit.errors import RecipeError
from nibblefit.recipe_file.explain import Origin
from nibblefit.recipe_file.tables import FreeTable, read_table


class ReaderOptions(BaseModel):
    """Base of all option tables: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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
    table = FreeTable(tuple(key.split(".")), given, kind, f"'{where}'")
    options, problems = read_table(table, Origin())
    if options is None:
        raise RecipeError(
            f"{key} does not fit '{where}'", problems=[sentence for _, sentence in problems]
        )
    return cast("Options", options)
