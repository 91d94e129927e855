"""Read a recipe file; all of its problems are reported together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import tomli
from pydantic import BaseModel, ValidationError

from nibblefit.errors import RecipeError, did_you_mean
from nibblefit.recipe import Recipe, TrainSection
from nibblefit.recipe_file.canonical import WHEREABOUTS
from nibblefit.recipe_file.explain import (
    Location,
    Origin,
    Problem,
    dotted,
    explain,
    shortened,
    shown,
    unwritable,
)
from nibblefit.recipe_file.positions import KeyPath, key_lines
from nibblefit.recipe_file.tables import Document, FreeTable, read_table

if TYPE_CHECKING:
    from nibblefit.hooks import TargetInfo

#: Largest recipe accepted, in bytes; a recipe is a page of text.
LARGEST_FILE = 1 << 20

#: Finds the problems that the schema cannot see, in a recipe as its file says it; the validated
#: recipe comes with it if the schema had no objection.
Checks: TypeAlias = Callable[[Document, Recipe | None, Origin], list[Problem]]
_NO_OVERRIDES: Mapping[str, Any] = {}


def read_recipe(path: Path | str, overrides: Mapping[str, Any] = _NO_OVERRIDES,
                checks: Checks | None = None) -> Recipe:  # fmt: skip
    """Return the validated recipe of a TOML file.

    Args:
        path: The file. Relative paths inside the recipe start at its folder.
        overrides: Dotted keys that win over the file, such as ``{"train.epochs": 3}``.
        checks: Finds more problems, which are reported together with those of the schema;
            `nibblefit.runner.load_recipe` brings those of all readers and plugins.

    Raises:
        RecipeError: With every problem found, each with its line.
    """
    path = Path(path)
    text = _read_text(path)
    document = _parse(text, path)
    for key, value in overrides.items():
        _set(document, key, value)
    origin = Origin(key_lines(text), frozenset(tuple(key.split(".")) for key in overrides))
    folder = str(path.resolve().parent)
    return _validate(document, origin, f"recipe {path}", (folder, str(path.resolve())), checks)


def check_recipe(recipe: Recipe, checks: Checks) -> None:
    """Apply checks to a recipe that exists already, wherever it came from.

    Raises:
        RecipeError: With every problem found.
    """
    problems = checks(recipe_document(recipe), recipe, _origin_of(recipe))
    if problems:
        raise _problems(f"recipe {recipe.file or ''}".strip(), problems)


def override_recipe(recipe: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    """Return the recipe with dotted keys set to other values, validated again."""
    document = recipe_document(recipe)
    for key, value in overrides.items():
        _set(document, key, value)
    origin = Origin({}, frozenset(tuple(key.split(".")) for key in overrides))
    return _validate(document, origin, "recipe with changed keys", (recipe.folder, recipe.file))


def recipe_document(recipe: Recipe) -> Document:
    """Return a recipe in the shape of its file: ``[train.NAME]`` tables inside ``[train]``."""
    document: Document = recipe.model_dump(mode="json", exclude=set(WHEREABOUTS))
    steps = document.pop("train_steps")
    document["train"].update(steps)
    if document["data"]["range"] is None:
        del document["data"]["range"]
    return document


def parse_override(text: str) -> tuple[str, Any]:
    """Return key and value of ``train.epochs=3``; a value that is no TOML value is text.

    Raises:
        RecipeError: There is no ``=`` or no key.
    """
    key, sign, value = text.partition("=")
    key = key.strip()
    if not sign or not all(key.split(".")):
        raise RecipeError(
            f"cannot read the setting '{text}'", hint="write KEY=VALUE, such as train.epochs=3"
        )
    try:
        return key, tomli.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        return key, value.strip()


def target_options(recipe: Recipe, info: TargetInfo) -> BaseModel:
    """Return the target's own options, validated against what the target declares.

    Raises:
        RecipeError: An option or the part is not what the target accepts.
    """
    options, problems = checked_target(recipe.target.model_dump(), info, _origin_of(recipe))
    if options is None:
        raise _problems(f"recipe {recipe.file or ''}".strip(), problems)
    return options


def checked_target(
    section: Mapping[str, Any], info: TargetInfo, origin: Origin
) -> tuple[BaseModel | None, list[Problem]]:
    """Return the options of a ``[target]`` table and no problems, or None and all of them."""
    given = {key: value for key, value in section.items() if key not in ("name", "part")}
    options, problems = read_table(FreeTable(("target",), given, info.options), origin)
    part = section.get("part", "")
    if isinstance(part, str) and part and part not in info.parts:
        known = did_you_mean(part, info.parts) if info.parts else "it has no parts to choose from"
        sentence = f"target.part = {shown(part)}: '{info.name}' has no such part; {known}"
        problems.append(origin.problem(("target", "part"), sentence))
    return (None if problems else options), problems


def check_train_steps(recipe: Recipe, steps: Iterable[str]) -> None:
    """Refuse ``[train.NAME]`` tables whose step the plan does not have.

    Raises:
        RecipeError: Names every such table and the closest step.
    """
    problems = step_problems(recipe.train_steps, steps, _origin_of(recipe))
    if problems:
        raise _problems(f"recipe {recipe.file or ''}".strip(), problems)


def step_problems(tables: Iterable[str], steps: Iterable[str], origin: Origin) -> list[Problem]:
    """Return a problem for every ``[train.NAME]`` table whose step the plan does not have."""
    known = sorted(set(steps))
    return [
        origin.problem(
            ("train", name),
            f"[train.{shortened(name)}] fits no training step of the plan; "
            f"{did_you_mean(name, known)}",
        )
        for name in tables
        if name not in known
    ]


def _read_text(path: Path) -> str:
    try:
        if not path.is_file():
            fault = "is a folder" if path.is_dir() else "does not exist"
            if path.exists() and not path.is_dir():
                fault = "is not a regular file"
            raise RecipeError(
                f"recipe {path} {fault}", hint="`nibblefit init` writes a recipe to start from"
            )
        if path.stat().st_size > LARGEST_FILE:
            raise RecipeError(f"recipe {path} is larger than {LARGEST_FILE >> 20} MiB",
                              hint="this is not a recipe")  # fmt: skip
        raw = path.read_bytes()
    except (OSError, ValueError) as error:
        raise RecipeError(f"recipe {path} cannot be read: {error}") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"recipe {path} is not UTF-8 text (byte {error.start})", hint="save it as UTF-8"
        ) from error
    if "\0" in text:
        raise RecipeError(f"recipe {path} is a binary file", hint="a recipe is TOML text")
    return text.replace("\r\n", "\n")


def _parse(text: str, path: Path) -> Document:
    try:
        return tomli.loads(text)
    except RecursionError as error:
        raise RecipeError(f"recipe {path} is nested too deeply") from error
    except ValueError as error:
        reason = str(error).split(":")[0]
        raise RecipeError(f"recipe {path} is not TOML: {reason}") from error


def _set(document: Document, key: str, value: Any) -> None:
    *parents, last = key.split(".")
    table: Any = document
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise RecipeError(f"cannot set {key}: '{parent}' is a value, not a table")
    if not last or "" in parents:
        raise RecipeError(f"cannot set '{key}'", hint="a key looks like train.epochs")
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"cannot set {key} to {value!r}: {error}") from error
    table[last] = value


def _validate(document: Document, origin: Origin, name: str, home: tuple[str, str],
              checks: Checks | None = None) -> Recipe:  # fmt: skip
    """Return the recipe of a document that lies at `home`: folder and file."""
    problems: list[Problem] = []
    dropped: set[Problem] = set()
    for location, sentence in list(unwritable(document)):
        path = tuple(str(part) for part in location)
        problems.append(origin.problem(path, sentence))
        # Without it the rest can be validated; that it is missing then is no news.
        gone = _drop(document, location)
        dropped.add(origin.problem(tuple(map(str, gone)), f"{dotted(gone)} is missing"))
    written = {**document}
    steps = _split_train(document)
    for step, table in steps.items():
        try:
            TrainSection.model_validate_json(json.dumps(table), strict=True)
        except ValidationError as error:
            problems += explain(error, TrainSection, origin, ("train", step))
    for reserved in sorted({"folder", "file", "train_steps"} & document.keys()):
        sentence = f"unknown key '{reserved}' in the recipe"
        problems.append(origin.problem((reserved,), sentence))
        del document[reserved]
    recipe: Recipe | None = None
    try:
        settled = {**document, "train_steps": steps, "folder": home[0], "file": home[1]}
        recipe = Recipe.model_validate_json(json.dumps(settled), strict=True)
    except ValidationError as error:
        problems += explain(error, Recipe, origin)
    if checks is not None:
        problems += checks(written, None if problems else recipe, origin)
    if problems or recipe is None:
        raise _problems(name, [p for p in problems if not _is_among(p, dropped)])
    return recipe


def _drop(document: Document, location: Location) -> Location:
    """Delete the key that holds a value, be it in a list or not, and return the key's path."""
    path = tuple(takewhile(lambda part: isinstance(part, str), location))
    table: Any = document
    for part in path[:-1]:
        table = table[part]
    table.pop(path[-1], None)
    return path


def _is_among(problem: Problem, dropped: Iterable[Problem]) -> bool:
    return any(problem[0] == line and problem[1].startswith(text) for line, text in dropped)


def _split_train(document: Document) -> dict[str, Document]:
    """Take the ``[train.NAME]`` tables out of ``[train]`` and return them."""
    train = document.get("train")
    if not isinstance(train, dict):
        return {}
    steps = {
        key: table
        for key, table in train.items()
        if isinstance(table, dict) and key not in TrainSection.model_fields
    }
    document["train"] = {key: value for key, value in train.items() if key not in steps}
    return steps


def _origin_of(recipe: Recipe) -> Origin:
    """Return the lines of the file a recipe came from; nothing if it is gone or has changed."""
    if not recipe.file:
        return Origin()
    try:
        text = _read_text(Path(recipe.file))
        _parse(text, Path(recipe.file))
    except RecipeError:
        return Origin()
    lines: dict[KeyPath, int] = key_lines(text)
    return Origin(lines)


def _problems(name: str, problems: list[Problem]) -> RecipeError:
    ordered = sorted(problems, key=lambda problem: problem[0])
    sentences = list(dict.fromkeys(sentence for _, sentence in ordered))
    if len(sentences) > 1:
        return RecipeError(f"{name} has {len(sentences)} problems", problems=sentences)
    placed = sentences[0].startswith(("line ", "set from outside"))
    error = RecipeError(f"{name}{', ' if placed else ': '}{sentences[0]}")
    error.problems = tuple(sentences)
    return error
