"""Line numbers of the keys of a TOML text, which the TOML parser does not report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

#: A key's path through tables; entries of arrays of tables carry their index as text.
KeyPath: TypeAlias = tuple[str, ...]

_TOKEN = re.compile(
    r'(?P<text>"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\')'
    r"|(?P<comment>\#[^\n]*)|(?P<newline>\n)|(?P<mark>[\[\]{}=.,])|(?P<space>[ \t\r]+)"
    r"|(?P<bare>[^\s\[\]{}=.,\"'\#]+|.)",
    re.DOTALL,
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """Map every table and key of a valid TOML text to its line, counted from 1.

    Keys inside inline tables and arrays are not listed; `line_of` falls back to what holds them.
    """
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    counts: dict[KeyPath, int] = {}
    for line, tokens in _statements(text):
        if tokens[0] == "[":
            is_array = tokens[:2] == ["[", "["]
            table = _key(tokens)
            if is_array:
                counts[table] = counts.get(table, -1) + 1
                lines.setdefault(table, line)
                table = (*table, str(counts[table]))
            path = table
        else:
            path = table + _key(tokens[: tokens.index("=")] if "=" in tokens else tokens)
        for depth in range(1, len(path) + 1):
            lines.setdefault(path[:depth], line)
        lines[path] = line
    return lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int | None:
    """Return the line of a path, or of the nearest thing around it."""
    for depth in range(len(path), 0, -1):
        if path[:depth] in lines:
            return lines[path[:depth]]
    return None


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (first line, tokens) of every statement; a header ends at its line's end."""
    line, first, depth = 1, 1, 0
    tokens: list[str] = []
    for match in _TOKEN.finditer(text):
        token, kind = match.group(), match.lastgroup
        if kind == "newline" and (depth == 0 or _is_header(tokens)):
            if tokens:
                yield first, tokens
            tokens, depth = [], 0
        elif kind not in ("comment", "space", "newline"):
            if not tokens:
                first = line
            tokens.append(token)
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token, 0)
        line += token.count("\n")
    if tokens:
        yield first, tokens


def _is_header(tokens: list[str]) -> bool:
    return bool(tokens) and tokens[0] == "["


def _key(tokens: list[str]) -> KeyPath:
    return tuple(_bare(token) for token in tokens if token not in {"[", "]", "."})


def _bare(token: str) -> str:
    return token[1:-1] if token[:1] in "\"'" else token
