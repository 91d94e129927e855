"""Kinds of values in the vendor's configurations, and one way to read them into models."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from nibblefit.errors import did_you_mean
from nibblefit_tidl.configuration.assignments import Entry
from nibblefit_tidl.configuration.problems import Problems


def one_of(*values: int) -> AfterValidator:
    """Return a check that an integer is one of a few."""

    def check(value: int) -> int:
        if value not in values:
            raise ValueError(f"it should be one of {', '.join(map(str, values))}")
        return value

    return AfterValidator(check)


def at_least(smallest: int, *others: int, most: int | None = None) -> AfterValidator:
    """Return a check that an integer is in a range, or one of a few others."""

    def check(value: int) -> int:
        if value not in others and not smallest <= value <= (value if most is None else most):
            bound = f"at least {smallest}" if most is None else f"{smallest} to {most}"
            rest = "".join(f", or {other}" for other in others)
            raise ValueError(f"it should be {bound}{rest}")
        return value

    return AfterValidator(check)


Flag = Annotated[int, one_of(0, 1)]
Unset = Annotated[int, at_least(1, -1)]
Percent = Annotated[int, at_least(0, most=100)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Configuration(BaseModel):
    """A file of assignments: field names in our spelling, aliases in the vendor's."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, alias_generator=to_camel
    )

    def given(self) -> dict[str, Any]:
        """Return the keys that were set, in the vendor's spelling and the model's order."""
        fields = type(self).model_fields.items()
        return {str(field.alias): getattr(self, name) for name, field in fields
                if name in self.model_fields_set}  # fmt: skip


Model = TypeVar("Model", bound=BaseModel)


def keys_of(model: type[BaseModel]) -> dict[str, str]:
    """Return the vendor's keys of a model → names of its fields."""
    return {str(field.alias): name for name, field in model.model_fields.items()}


def comments_of(model: type[BaseModel]) -> dict[str, str]:
    """Return the vendor's keys of a model → what they mean."""
    return {str(f.alias): f.description or "" for f in model.model_fields.values()}


def model_of(model: type[Model], entries: Iterable[Entry], problems: Problems) -> Model | None:
    """Return the model of a file's entries; None with problems recorded if there is none."""
    keys, values = keys_of(model), {}
    for entry in entries:
        problems.lines[entry.key] = entry.line
        if entry.key not in keys:
            problems.add(entry.line, f"there is no key '{entry.key}'; "
                         f"{closest(entry.key, keys)}", "the tools would ignore it in silence: "
                         "correct or remove it")  # fmt: skip
            continue
        value = _plain(model, keys[entry.key], entry, problems)
        if value is not None:
            values[entry.key] = value
    return validated(model, values, problems)


def closest(word: str, known: Iterable[str]) -> str:
    """Return the known word nearest to one, whatever its case, as a question."""
    names = list(known)
    lower = {name.lower(): name for name in names}
    text = did_you_mean(word, lower)
    for small in sorted(lower, key=len, reverse=True):
        if f"'{small}'" in text:
            return text.replace(f"'{small}'", f"'{lower[small]}'")
    return f"{len(names)} keys are known" if names else text


def validated(model: type[Model], values: dict[str, Any], problems: Problems) -> Model | None:
    """Return the model of values by key; None with problems recorded if some do not fit."""
    try:
        found = model.model_validate(values)
    except ValidationError as error:
        for one in error.errors():
            key = str(one["loc"][0]) if one["loc"] else ""
            meaning = comments_of(model).get(key, "")
            remedy = f"{key}: {meaning}" if meaning else "correct or remove it"
            problems.add(problems.lines.get(key, 0), _wording(key, one, values), remedy)
        return None
    return None if problems.found else found


def _wording(key: str, error: Any, values: dict[str, Any]) -> str:
    if error["type"] == "missing":
        return f"'{key}' is missing"
    if error["type"] == "extra_forbidden":
        return f"there is no key '{key}'"
    text = str(error["msg"]).removeprefix("Value error, ").replace("Input should", "it should")
    place = "".join(f"[{part}]" for part in error["loc"][1:] if isinstance(part, int))
    shown = error["input"] if len(error["loc"]) > 1 else values.get(key, error["input"])
    return f"'{key}'{place} is {str(shown)[:80]!r}: {text}"


def _plain(model: type[BaseModel], name: str, entry: Entry, problems: Problems) -> Any:
    """Return a value as pydantic takes it: a list of words, a text, or one word."""
    kind = _kind(model.model_fields[name].annotation)
    if kind is tuple:
        return entry.words
    if kind is str:
        return entry.value
    if len(entry.words) == 1:
        return entry.words[0]
    count = f"{len(entry.words)} values" if entry.words else "no value"
    problems.add(entry.line, f"'{entry.key}' has {count}; it takes one", "write one number")
    return None


def _kind(annotation: Any) -> Callable[..., Any]:
    origin = typing.get_origin(annotation)
    if origin is tuple:
        return tuple
    if origin in (types.UnionType, typing.Union):
        return _kind(next(a for a in typing.get_args(annotation) if a is not type(None)))
    return str if annotation is str else int
