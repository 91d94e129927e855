"""The text format of protocol buffers, as a tree that remembers lines.

Only syntax is looked at here; `nibblefit_tao.specs.typed` knows which fields exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nibblefit.errors import InputError

#: Deeper nesting is no spec.
_DEPTH = 40
_TOKEN = re.compile(
    r"""(?P<blank>[\s,;]+|\#[^\n]*)
      | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<word>[A-Za-z_][\w./+-]*|[-+]?(?:\.\d|\d)[\w.+-]*)
      | (?P<mark>[{}<>\[\]:-])""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value as it stands there.

    Attributes:
        text: Without quotes.
        quoted: Whether it had any.
        line: From 1.
    """

    text: str
    quoted: bool
    line: int


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between braces, or the whole file."""

    fields: tuple[Field, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Field:
    """A name with a value; of a list in brackets, one field for each value."""

    name: str
    value: Scalar | Block
    line: int


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int


def parse(text: str, where: str) -> Block:
    """Return the tree of a text.

    Args:
        text: The file's text.
        where: The file, for messages.

    Raises:
        InputError: Not the text format; names the line.
    """
    return _Parser(list(_tokens(text, where)), where).block(0, top=True)


def _tokens(text: str, where: str) -> Iterator[_Token]:
    place, line = 0, 1
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            rest = text[place : place + 20].splitlines()[0]
            raise InputError(f"{where}, line {line}: cannot read '{rest}'",
                             hint="a spec holds 'name: value' and 'name { … }'")  # fmt: skip
        if found.lastgroup != "blank":
            yield _Token(str(found.lastgroup), found.group(), line)
        line += found.group().count("\n")
        place = found.end()


class _Parser:
    def __init__(self, tokens: list[_Token], where: str) -> None:
        self._tokens = tokens
        self._where = where
        self._place = 0

    def block(self, depth: int, *, top: bool = False, close: str = "", line: int = 1) -> Block:
        if depth > _DEPTH:
            raise InputError(f"{self._where}, line {line}: blocks are nested too deeply")
        fields: list[Field] = []
        while (token := self._next()) is not None:
            if token.text == close and token.kind == "mark":
                return Block(tuple(fields), line)
            if token.kind != "word" or not re.match(r"[A-Za-z_]", token.text):
                raise self._wrong(token, "the name of a field" + ("" if top else f" or '{close}'"))
            fields += self._field(token, depth)
        if not top:
            raise InputError(f"{self._where}, line {line}: this block is never closed",
                             hint=f"add '{close}'")  # fmt: skip
        return Block(tuple(fields), line)

    def _field(self, name: _Token, depth: int) -> list[Field]:
        token = self._next()
        if token is not None and token.text == ":":
            token = self._next()
        elif token is not None and token.text not in ("{", "<"):
            raise self._wrong(token, f"':' or '{{' after '{name.text}'")
        if token is None:
            raise InputError(f"{self._where}, line {name.line}: '{name.text}' has no value")
        if token.text != "[" or token.kind != "mark":
            return [Field(name.text, self._value(token, depth), name.line)]
        values = []
        while (token := self._next()) is not None and token.text != "]":
            values.append(Field(name.text, self._value(token, depth), token.line))
        if token is None:
            raise InputError(f"{self._where}, line {name.line}: this list is never closed")
        return values

    def _value(self, token: _Token, depth: int) -> Scalar | Block:
        if token.kind == "mark":
            if token.text == "-" and (after := self._next()) is not None and after.kind == "word":
                return Scalar("-" + after.text, quoted=False, line=token.line)
            if token.text not in ("{", "<"):
                raise self._wrong(token, "a value")
            close = "}" if token.text == "{" else ">"
            return self.block(depth + 1, close=close, line=token.line)
        if token.kind == "word":
            return Scalar(token.text, quoted=False, line=token.line)
        text = _unquoted(token.text)
        while (more := self._peek()) is not None and more.kind == "text":
            text += _unquoted(more.text)
            self._place += 1
        return Scalar(text, quoted=True, line=token.line)

    def _peek(self) -> _Token | None:
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def _next(self) -> _Token | None:
        token = self._peek()
        self._place += 1
        return token

    def _wrong(self, token: _Token, expected: str) -> InputError:
        return InputError(
            f"{self._where}, line {token.line}: found '{token.text[:40]}', expected {expected}"
        )


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), text[1:-1])
