"""Turn what pydantic found wrong into sentences: line, key, value, what is accepted."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError

from nibblefit.errors import did_you_mean
from nibblefit.recipe_file.positions import KeyPath, line_of

#: Longest value shown in a message.
_SHOWN = 60

_KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "tuple_type": "a list in [ ]",
    "list_type": "a list in [ ]",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}

Location: TypeAlias = tuple[str | int, ...]
#: Line in the file (0 if unknown) and the sentence to show.
Problem: TypeAlias = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where keys were written: lines of the file, and keys set from outside it."""

    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    overridden: frozenset[KeyPath] = frozenset()

    def place(self, path: KeyPath) -> str:
        """Return ``line 7`` or ``set from outside``; empty if nothing is known."""
        if any(path[: len(key)] == key or key[: len(path)] == path for key in self.overridden):
            return "set from outside: "
        line = line_of(self.lines, path)
        return f"line {line}: " if line else ""

    def problem(self, path: KeyPath, sentence: str) -> Problem:
        """Return a problem with its line."""
        return line_of(self.lines, path) or 0, self.place(path) + sentence


def explain(error: ValidationError, model: type[BaseModel], origin: Origin,
            prefix: Location = (), reader: str = "") -> list[Problem]:  # fmt: skip
    """Return one problem per fault, each with its line (0 if unknown) for sorting.

    Args:
        error: What pydantic found.
        model: The model it found it with.
        origin: Lines of the file.
        prefix: Path of the table that `model` describes.
        reader: Who reads that table, shown with unknown keys.
    """
    found: list[Problem] = []
    for problem in error.errors():
        location: Location = (*prefix, *problem["loc"])
        path = tuple(str(part) for part in location)
        sentence = _sentence(dict(problem), location, model, prefix, reader)
        found.append(origin.problem(path, sentence))
    return found


def _sentence(problem: dict[str, Any], location: Location, model: type[BaseModel],
              prefix: Location, reader: str) -> str:  # fmt: skip
    name = dotted(location)
    inner = location[len(prefix) :]
    if problem["type"] == "extra_forbidden":
        known = _fields_at(model, inner[:-1])
        where = f"[{dotted(location[:-1])}]" if len(location) > 1 else "the recipe"
        thing = "table" if isinstance(problem["input"], dict) else "key"
        hint = did_you_mean(str(location[-1]), known)
        whose = f" of {reader}" if reader else ""
        return f"unknown {thing} '{shortened(str(location[-1]))}' in {where}{whose}; {hint}"
    text = "" if problem["type"] == "literal_error" else _description(model, inner)
    if problem["type"] == "missing":
        if isinstance(location[-1], int):
            return f"{dotted(location[:-1])} has too few entries{text}"
        return f"{name} is missing{text}"
    if problem["type"] == "value_error" and _model_at(model, inner) is not None:
        return f"{name}: {_accepted(problem)}"  # keys of a table that contradict each other
    return f"{name} = {shown(problem['input'])}: expected {_accepted(problem)}{text}"


def _accepted(problem: Mapping[str, Any]) -> str:
    context = problem.get("ctx", {})
    match problem["type"]:
        case "greater_than":
            return f"a number above {context['gt']:g}"
        case "greater_than_equal":
            return f"a number of at least {context['ge']:g}"
        case "less_than_equal":
            return f"a number of at most {context['le']:g}"
        case "less_than":
            return f"a number below {context['lt']:g}"
        case "literal_error" | "enum":
            close = did_you_mean(str(problem["input"]), context["expected"].replace("'", "")
                                 .replace(" or ", ", ").split(", "))  # fmt: skip
            return str(context["expected"]) + (f"; {close}" if close.startswith("did") else "")
        case "too_long":
            return f"at most {context['max_length']} entries"
        case "value_error":
            return str(context["error"])
    message = str(problem["msg"])
    return _KINDS.get(problem["type"], message[:1].lower() + message[1:])


def shown(value: Any) -> str:
    """Return a value as it would stand in the file, shortened."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return shortened(repr(value))


def shortened(text: str) -> str:
    """Return a text of the user's, cut where a message would drown in it."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def dotted(location: Location) -> str:
    """Return ``data.mean[1]`` for ``("data", "mean", 1)``."""
    text = ""
    for part in location:
        word = shortened(str(part))
        text += f"[{word}]" if isinstance(part, int) else f".{word}" if text else word
    return text


def _model_at(model: type[BaseModel], path: Location) -> type[BaseModel] | None:
    current: Any = model
    for part in path:
        info = current.model_fields.get(str(part))
        current = info.annotation if info else None
        if not (isinstance(current, type) and issubclass(current, BaseModel)):
            return None
    return current if isinstance(current, type) else None


def _fields_at(model: type[BaseModel], path: Location) -> list[str]:
    found = _model_at(model, path)
    hidden = {"folder", "file", "train_steps"} if not path else set()
    return [name for name in found.model_fields if name not in hidden] if found else []


def _description(model: type[BaseModel], path: Location) -> str:
    names = tuple(part for part in path if isinstance(part, str))
    holder = _model_at(model, names[:-1]) if names else None
    info = holder.model_fields.get(names[-1]) if holder else None
    if info is None or not info.description:
        return ""
    first, *_ = info.description.split(". ")
    return f" ({first.rstrip('.')})"


def unwritable(value: Any, path: Location = ()) -> Iterator[tuple[Location, str]]:
    """Yield what TOML can say but a recipe cannot mean: dates, inf and nan."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from unwritable(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from unwritable(item, (*path, index))
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, f"{dotted(path)} = {value}: expected a finite number"
    elif isinstance(value, dt.date | dt.time):
        yield path, f"{dotted(path)} = {value}: dates and times have no meaning in a recipe"
