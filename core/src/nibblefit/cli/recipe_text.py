"""The commented recipe that ``nibblefit init`` writes, made from the schema's own descriptions."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from nibblefit.hooks import TargetInfo
from nibblefit.recipe import Recipe

#: Sections in the order of a run; the fields of `Recipe` that are tables of the file.
SECTIONS = ("model", "data", "task", "target", "train", "distill", "prune", "quantize",
            "calibration", "evaluate", "run")  # fmt: skip
#: Keys people change first; written out with their default instead of as a comment.
WRITTEN_OUT = frozenset({"train.epochs", "train.batch_size", "train.learning_rate", "run.seed"})
_WIDTH = 96


def recipe_text(
    info: TargetInfo, chosen: Mapping[str, Any], *, train_steps: Sequence[str] = ()
) -> str:
    """Return a recipe for a target with every key explained.

    Args:
        info: The target; its options follow ``name`` and ``part``.
        chosen: Dotted key → value that differs from the default.
        train_steps: Names of the plan's training steps; each may have its own table.
    """
    lines = [
        "# A nibblefit recipe: everything that decides a run.",
        "# '#key = value' shows a default: remove the '#' to change it.",
        "# Relative paths start at the folder of this file.",
    ]
    for section in SECTIONS:
        schema = Recipe.model_fields[section].annotation
        assert isinstance(schema, type)
        assert issubclass(schema, BaseModel)
        lines += ["", *_heading(section, schema)]
        lines += _fields(section, schema.model_fields, chosen)
        if section == "target":
            lines += _fields(section, info.options.model_fields, chosen)
        if section == "train":
            lines += _step_tables(train_steps)
    return "\n".join(lines) + "\n"


def _heading(section: str, schema: type[BaseModel]) -> list[str]:
    sentence = (schema.__doc__ or "").strip().split("\n\n")[0]
    return [*_comment(sentence), f"[{section}]"]


def _fields(
    section: str, fields: Mapping[str, FieldInfo], chosen: Mapping[str, Any]
) -> Iterator[str]:
    for name, field in fields.items():
        key = f"{section}.{name}"
        yield from _comment(_described(field))
        default = default_of(field)
        if key in chosen:
            yield f"{name} = {toml_value(chosen[key])}"
        elif key in WRITTEN_OUT:
            yield f"{name} = {toml_value(default)}"
        elif default is None or default is PydanticUndefined:
            yield f"#{name} ="
        else:
            yield f"#{name} = {toml_value(default)}"


def _described(field: FieldInfo) -> str:
    return field.description or "No description."


def _comment(text: str) -> list[str]:
    return textwrap.wrap(" ".join(text.split()), _WIDTH, initial_indent="# ",
                         subsequent_indent="# ", break_on_hyphens=False)  # fmt: skip


def _step_tables(steps: Sequence[str]) -> Iterator[str]:
    if not steps:
        return
    named = ", ".join(steps)
    yield from _comment(
        f"Training steps of this target's plan: {named}. A table [train.NAME] overrides any "
        "training setting for one of them."
    )
    for step in steps:
        yield f"#[train.{step}]"
        yield "#epochs = 10"


def default_of(field: FieldInfo) -> Any:
    """Return a field's default, or `PydanticUndefined` if it must be given."""
    return field.get_default(call_default_factory=True)


def toml_value(value: Any) -> str:
    """Return a value as TOML: scalars, arrays and inline tables."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        # TOML has no null: what is unset is left out.
        items = ", ".join(f"{_key(name)} = {toml_value(item)}" for name, item in value.items()
                          if item is not None)  # fmt: skip
        return f"{{ {items} }}" if items else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, BaseModel):
        return toml_value(value.model_dump())
    # JSON's escapes are a subset of TOML's, as long as only control characters are escaped.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    bare = name.replace("-", "").replace("_", "")
    return name if bare.isascii() and bare.isalnum() else toml_value(name)
