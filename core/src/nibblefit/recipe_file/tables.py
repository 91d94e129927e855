"""Free tables of a recipe, such as ``data.options``: who reads them says what they may hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError

from nibblefit.errors import did_you_mean
from nibblefit.recipe_file.canonical import plain
from nibblefit.recipe_file.explain import Location, Origin, Problem, explain

#: A recipe in the shape of its file.
Document: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FreeTable:
    """A table whose keys the recipe's schema leaves to somebody else.

    Attributes:
        path: Where it stands, such as ``("data", "options")``.
        given: What the recipe says there.
        model: Whose fields it must fit.
        reader: Who reads it, such as ``source 'npz'``; unknown keys are explained with it.
    """

    path: Location
    given: Mapping[str, Any]
    model: type[BaseModel]
    reader: str = ""


def table_problems(table: FreeTable, origin: Origin) -> list[Problem]:
    """Return every problem of a free table, each with its line."""
    _, problems = read_table(table, origin)
    return problems


def read_table(table: FreeTable, origin: Origin) -> tuple[BaseModel | None, list[Problem]]:
    """Return the validated table and no problems, or None and all of them.

    TOML's types are kept apart as in the rest of the recipe: no text for numbers, no 1 for true.
    """
    problems: list[Problem] = []
    found: BaseModel | None = None
    given = plain(table.given)
    try:
        found = table.model.model_validate_json(json.dumps(given), strict=True)
    except ValidationError as error:
        problems += explain(error, table.model, origin, table.path, reader=table.reader)
    if table.model.model_config.get("extra", "ignore") == "ignore":
        # A model that ignores extras would hide a misspelt option.
        known = table.model.model_fields
        for key in sorted(set(given) - set(known)):
            where = f"[{'.'.join(map(str, table.path))}]"
            sentence = f"unknown key '{key}' in {where}; {did_you_mean(key, known)}"
            problems.append(origin.problem((*map(str, table.path), key), sentence))
    return (None if problems else found), problems
