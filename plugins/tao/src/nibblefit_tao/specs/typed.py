"""A spec's tree against its schema: values of the right types, or the line that is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nibblefit.errors import InputError, did_you_mean
from nibblefit_tao.specs.proto_text import Block, Field, Scalar, parse
from nibblefit_tao.specs.schema import KINDS, ROOT, FieldType, Label, Schema, schema

_TRUE, _FALSE = ("true", "True", "t", "1"), ("false", "False", "f", "0")
#: Longer files are no specs; those of TAO have some 10,000 letters.
LARGEST = 2**18
#: So many mistakes are named beside the first, the rest counted.
_SHOWN = 9
_RANGES = {
    "int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1), "uint64": (0, 2**64 - 1),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spec:
    """A spec that was read.

    Attributes:
        kind: See `nibblefit_tao.specs.schema.KINDS`.
        path: The file.
        values: Field → scalar, nested mapping, list of a repeated field, or mapping of a map field;
            only what is set. `get` answers for the rest.
        lines: Dotted path of a field → the line where it first stands.
    """

    kind: str
    path: Path
    values: Mapping[str, Any]
    lines: Mapping[str, int] = field(default_factory=dict)

    def get(self, dotted: str, default: Any) -> Any:
        """Return a value, `default` where it is unset or at proto3's zero (0, false, "")."""
        found: Any = self.values
        for key in dotted.split("."):
            if not isinstance(found, Mapping) or key not in found:
                return default
            found = found[key]
        return found or default

    def has(self, dotted: str) -> bool:
        """Return whether a field stands in the file."""
        return dotted in self.lines

    def wrong(self, dotted: str, what: str, *, hint: str = "") -> InputError:
        """Return an error that points at a field's line."""
        line = self.lines.get(dotted)
        place = f"{self.path}, line {line}" if line else str(self.path)
        return InputError(f"{place}: {dotted} {what}", hint=hint)


def read_spec(path: Path, kind: str = "") -> Spec:
    """Read a text spec.

    Args:
        path: The file.
        kind: Its kind; empty guesses it from the fields.

    Raises:
        InputError: Unreadable, no spec, or fields that its kind does not have; each with its line.
    """
    text = read_text(path)
    tree = parse(text, str(path))
    if not tree.fields:
        raise InputError(f"{path} holds no field", hint="give an experiment spec of TAO")
    chosen = schema(kind or _guess(tree))
    reader = _Reader(chosen, path)
    values = reader.message(tree, ROOT, "")
    if reader.problems:
        first, *more = reader.problems
        others = "".join(f"\n  • {problem}" for problem in more[:_SHOWN])
        others += f"\n  • and {len(more) - _SHOWN} more" if len(more) > _SHOWN else ""
        raise InputError(f"{path} is no valid {chosen.kind} spec: {first}{others}")
    return Spec(chosen.kind, path, values, reader.lines)


def read_text(path: Path) -> str:
    """Return the text of a spec.

    Raises:
        InputError: Unreadable, not UTF-8, or larger than any spec.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the spec {path}: {error}") from None
    if len(text) > LARGEST:
        raise InputError(f"{path} is longer than {LARGEST:,} letters; no spec is",
                         hint="give an experiment spec of TAO")  # fmt: skip
    return text


def _guess(tree: Block) -> str:
    """Return the kind whose experiment knows most of the fields."""
    names = {entry.name for entry in tree.fields}

    def known(kind: str) -> int:
        return len(names & set(schema(kind).messages[ROOT]))

    return max(KINDS, key=lambda kind: (known(kind), -KINDS.index(kind)))


class _Reader:
    def __init__(self, chosen: Schema, path: Path) -> None:
        self._schema = chosen
        self.path = path
        self.lines: dict[str, int] = {}
        self.problems: list[str] = []

    def message(self, block: Block, name: str, prefix: str) -> dict[str, Any]:
        fields = self._schema.messages[name]
        values: dict[str, Any] = {}
        for entry in block.fields:
            kind = fields.get(entry.name)
            if kind is None:
                hint = did_you_mean(entry.name, fields)
                self._problem(entry.line, f"{name} has no field '{entry.name[:40]}'; {hint}")
                continue
            self._add(values, entry, kind, f"{prefix}{entry.name}")
        for group in self._schema.choices.get(name, ()):
            chosen = [key for key in group if key in values]
            if len(chosen) > 1:
                line = self.lines[f"{prefix}{chosen[1]}"]
                self._problem(line, f"{' and '.join(chosen)} exclude each other")
        return values

    def _add(self, values: dict[str, Any], entry: Field, kind: FieldType, path: str) -> None:
        self.lines.setdefault(path, entry.line)
        if kind.label is Label.MAP:
            for key, value in self._entry(entry, kind, path):
                values.setdefault(entry.name, {})[key] = value
        elif kind.label is Label.REPEATED:
            value = self._value(entry.value, kind.type, path)
            values.setdefault(entry.name, []).append(value)
        elif entry.name in values:
            first = self.lines[path]
            self._problem(entry.line, f"'{path}' stands there twice, first in line {first}")
        else:
            values[entry.name] = self._value(entry.value, kind.type, path)

    def _entry(self, entry: Field, kind: FieldType, path: str) -> Iterator[tuple[str, Any]]:
        """Yield the key and value of one map entry."""
        if isinstance(entry.value, Scalar):
            self._problem(entry.line, f"'{path}' wants {{ key: … value: … }}")
            return
        parts = {part.name: part for part in entry.value.fields}
        wrong = set(parts) - {"key", "value"}
        if wrong or "key" not in parts or isinstance(parts["key"].value, Block):
            self._problem(entry.line, f"'{path}' wants {{ key: … value: … }}")
            return
        key = parts["key"].value
        assert isinstance(key, Scalar)
        self.lines.setdefault(f"{path}.{key.text}", entry.line)
        value: Any = {} if kind.type in self._schema.messages else _zero(kind.type)
        if "value" in parts:
            value = self._value(parts["value"].value, kind.type, f"{path}.{key.text}")
        yield key.text, value

    def _value(self, value: Scalar | Block, kind: str, path: str) -> Any:
        if kind in self._schema.messages:
            if isinstance(value, Block):
                return self.message(value, kind, f"{path}.")
            self._problem(value.line, f"'{path}' wants {{ … }}, found '{value.text[:40]}'")
            return {}
        if isinstance(value, Block):
            self._problem(value.line, f"'{path}' wants a value, found a block")
            return _zero(kind)
        try:
            return self._scalar(value, kind)
        except ValueError as error:
            shown = f'"{value.text[:40]}"' if value.quoted else value.text[:40]
            self._problem(value.line, f"'{path}' is {shown}; expected {error}")
            return _zero(kind)

    def _scalar(self, value: Scalar, kind: str) -> Any:
        words = self._schema.enums.get(kind)
        if words is not None:
            if not value.quoted and value.text in words:
                return value.text
            raise ValueError("one of " + ", ".join(words))
        if kind in ("string", "bytes"):
            if not value.quoted:
                raise ValueError("text in quotes")
            return value.text
        if value.quoted:
            raise ValueError(f"a value of type {kind} without quotes")
        if kind == "bool":
            if value.text not in _TRUE + _FALSE:
                raise ValueError("true or false")
            return value.text in _TRUE
        return _number(value.text, kind)

    def _problem(self, line: int, what: str) -> None:
        self.problems.append(f"line {line}: {what}")


def _number(text: str, kind: str) -> float | int:
    if kind in ("float", "double"):
        try:
            number = float(text.rstrip("fF") or "x")
        except ValueError:
            raise ValueError("a number") from None
        if not math.isfinite(number):
            raise ValueError("a finite number")
        return number
    low, high = _RANGES[kind]
    try:
        whole = int(text, 0)
    except ValueError:
        raise ValueError(f"a whole number ({kind})") from None
    if not low <= whole <= high:
        raise ValueError(f"a whole number from {low} to {high}")
    return whole


def _zero(kind: str) -> Any:
    if kind in ("string", "bytes"):
        return ""
    return False if kind == "bool" else 0
