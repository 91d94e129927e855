"""Read a recipe file; all of its problems are reported together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import tomli
from pydantic import BaseModel, ValidationError

from nibblefit.errors import RecipeError, did_you_mean
from nibblefit.recipe import Recipe, TrainSection
from nibblefit.recipe_file.canonical import WHEREABOUTS, plain
from nibblefit.recipe_file.explain import Origin, Problem, explain, unwritable
from nibblefit.recipe_file.positions import KeyPath, key_lines

if TYPE_CHECKING:
    from nibblefit.hooks import TargetInfo

#: Largest recipe accepted, in bytes; a recipe is a page of text.
LARGEST_FILE = 1 << 20

Document: TypeAlias = dict[str, Any]
_NO_OVERRIDES: Mapping[str, Any] = {}


def read_recipe(path: Path | str, overrides: Mapping[str, Any] = _NO_OVERRIDES) -> Recipe:
    """Return the validated recipe of a TOML file.

    Args:
        path: The file. Relative paths inside the recipe start at its folder.
        overrides: Dotted keys that win over the file, such as ``{"train.epochs": 3}``.

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
    return _validate(document, origin, f"recipe {path}", folder, str(path.resolve()))


def override_recipe(recipe: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    """Return the recipe with dotted keys set to other values, validated again."""
    document = recipe_document(recipe)
    for key, value in overrides.items():
        _set(document, key, value)
    origin = Origin({}, frozenset(tuple(key.split(".")) for key in overrides))
    return _validate(document, origin, "recipe with changed keys", recipe.folder, recipe.file)


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
    extra = plain(recipe.target.model_extra or {})
    origin = _origin_of(recipe)
    problems: list[Problem] = []
    part = recipe.target.part
    if part and part not in info.parts:
        known = did_you_mean(part, info.parts) if info.parts else "it has no parts to choose from"
        sentence = f"target.part = {part!r}: '{info.name}' has no such part; {known}"
        problems.append(origin.problem(("target", "part"), sentence))
    options: BaseModel | None = None
    try:
        options = info.options.model_validate_json(json.dumps(extra), strict=True)
    except ValidationError as error:
        problems += explain(error, info.options, origin, ("target",))
    if info.options.model_config.get("extra", "ignore") == "ignore":
        # A model that ignores extras would hide a misspelt option.
        problems += [
            origin.problem(
                ("target", key),
                f"unknown key '{key}' in [target]; {did_you_mean(key, info.options.model_fields)}",
            )
            for key in sorted(set(extra) - set(info.options.model_fields))
        ]
    if problems or options is None:
        raise _problems(f"recipe {recipe.file or ''}".strip(), problems)
    return options


def check_train_steps(recipe: Recipe, steps: Iterable[str]) -> None:
    """Refuse ``[train.NAME]`` tables whose step the plan does not have.

    Raises:
        RecipeError: Names every such table and the closest step.
    """
    known = sorted(set(steps))
    origin = _origin_of(recipe)
    problems = [
        origin.problem(
            ("train", name),
            f"[train.{name}] fits no training step of the plan; {did_you_mean(name, known)}",
        )
        for name in recipe.train_steps
        if name not in known
    ]
    if problems:
        raise _problems(f"recipe {recipe.file or ''}".strip(), problems)


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


def _validate(document: Document, origin: Origin, name: str, folder: str, file: str) -> Recipe:
    problems: list[Problem] = []
    for location, sentence in unwritable(document):
        path = tuple(str(part) for part in location)
        problems.append(origin.problem(path, sentence))
    if problems:
        raise _problems(name, problems)
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
        settled = {**document, "train_steps": steps, "folder": folder, "file": file}
        recipe = Recipe.model_validate_json(json.dumps(settled), strict=True)
    except ValidationError as error:
        problems += explain(error, Recipe, origin)
    if problems or recipe is None:
        raise _problems(name, problems)
    return recipe


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
    count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
    sentences = [sentence for _, sentence in sorted(problems, key=lambda problem: problem[0])]
    return RecipeError(f"{name} has {count}", problems=sentences)
