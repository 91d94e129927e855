"""Protobuf text: into fields with line numbers, and back from messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields

from nibblefit.errors import InputError

_TOKEN = re.compile(
    r"(?P<space>[ \t\r,;]+)|(?P<line>\n)|(?P<comment>#[^\n]*)|(?P<mark>[:{}<>\[\]])"
    r'|(?P<text>"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\')|(?P<word>[A-Za-z0-9_.+\-/]+)'
)
_CLOSING = {"{": "}", "<": ">"}
#: Messages nest three deep; more is no such file.
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the text.

    Attributes:
        name: Its name.
        value: Text of a scalar, unquoted, or the fields of a message.
        line: Line number, from 1.
    """

    name: str
    value: str | tuple[Field, ...]
    line: int


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int


def parse(text: str, where: str) -> tuple[Field, ...]:
    """Return the fields of a text; lists in brackets become repeated fields.

    Raises:
        InputError: The text is no protobuf text; names the line.
    """
    tokens = list(_tokens(text, where))
    found, place = _message(tokens, 0, where, "", 0)
    if place != len(tokens):
        raise _error(where, tokens[place], "closes nothing")
    return found


def _tokens(text: str, where: str) -> Iterator[_Token]:
    place, line = 0, 1
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise InputError(f"{where}, line {line}: {text[place]!r} is not expected here",
                             hint="the file is protobuf text: name: value, name { … }")  # fmt: skip
        kind = str(match.lastgroup)
        if kind in {"mark", "text", "word"}:
            yield _Token(kind, match.group(), line)
        line += kind == "line"
        place = match.end()


def _message(tokens: list[_Token], place: int, where: str, end: str,
             depth: int) -> tuple[tuple[Field, ...], int]:  # fmt: skip
    """Return the fields up to `end`, and the place of the token that ends them."""
    if depth > _DEEPEST:
        raise _error(where, tokens[place - 1], "opens too many messages")
    found: list[Field] = []
    while place < len(tokens) and tokens[place].text != end:
        name = tokens[place]
        if name.kind != "word":
            return tuple(found), place
        found_here, place = _values(tokens, place + 1, name, where, depth)
        found += found_here
    if end and place == len(tokens):
        raise InputError(
            f"{where} ends inside a message", hint="the file is cut off: write it again"
        )
    return tuple(found), place


def _values(tokens: list[_Token], place: int, name: _Token, where: str,
            depth: int) -> tuple[list[Field], int]:  # fmt: skip
    """Return the field called `name`, several where a list in brackets follows."""
    has_colon = place < len(tokens) and tokens[place].text == ":"
    place += has_colon
    if place >= len(tokens):
        raise InputError(f"{where} ends behind '{name.text}'", hint="the file is cut off")
    token = tokens[place]
    if token.text in _CLOSING:
        inner, after = _message(tokens, place + 1, where, _CLOSING[token.text], depth + 1)
        if after >= len(tokens) or tokens[after].text != _CLOSING[token.text]:
            raise _error(where, tokens[min(after, len(tokens) - 1)], "is no field")
        return [Field(name.text, inner, name.line)], after + 1
    if not has_colon:
        raise _error(where, token, f"follows '{name.text}' without a colon")
    if token.text != "[":
        return [Field(name.text, _scalar(token, where), name.line)], place + 1
    found = []
    place += 1
    while place < len(tokens) and tokens[place].text != "]":
        found.append(Field(name.text, _scalar(tokens[place], where), tokens[place].line))
        place += 1
    if place == len(tokens):
        raise InputError(f"{where} ends inside a list", hint="the file is cut off")
    return found, place + 1


def _scalar(token: _Token, where: str) -> str:
    if token.kind == "mark":
        raise _error(where, token, "is no value")
    if token.kind == "word":
        return token.text
    return re.sub(r"\\(.)", r"\1", token.text[1:-1])


def _error(where: str, token: _Token, what: str) -> InputError:
    return InputError(f"{where}, line {token.line}: '{token.text}' {what}",
                      hint="the file is protobuf text: name: value, name { … }")  # fmt: skip


def written(message: object, indent: str = "") -> Iterator[str]:
    """Yield the lines of a message of `nibblefit_tidl.parameters_file.message`."""
    for field in fields(message):  # type: ignore[arg-type]
        value = getattr(message, field.name)
        entries = value if isinstance(value, tuple) else (value,)
        for entry in entries:
            if entry is None or (entry == "" and not isinstance(value, tuple)):
                continue
            if hasattr(entry, "__dataclass_fields__"):
                yield f"{indent}{field.name} {{"
                yield from written(entry, f"{indent}  ")
                yield f"{indent}}}"
            else:
                yield f"{indent}{field.name}: {_shown(entry)}"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return str(value)
    if type(value) is not str:
        return str(value)  # an enumeration stands without quotes
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
