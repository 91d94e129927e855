"""A reader of text protobuf, as much of it as target definitions use."""

from __future__ import annotations

import re
from typing import Any

_TOKEN = re.compile(r'#[^\n]*|"([^"]*)"|([{}:])|([^\s{}:"#]+)')


def parse(text: str) -> dict[str, list[Any]]:
    """Return fields by name; every field is a list, in the file's order."""
    words = [m for m in _TOKEN.finditer(text) if not m.group().startswith("#")]
    found, rest = _message(words)
    assert not rest
    return found


def _message(words: list[re.Match[str]]) -> tuple[dict[str, list[Any]], list[re.Match[str]]]:
    found: dict[str, list[Any]] = {}
    while words and words[0].group() != "}":
        name, mark, *words = words
        if mark.group() == "{":
            value, words = _message(words)
            words = words[1:]
        elif words[0].group() == "{":
            value, words = _message(words[1:])
            words = words[1:]
        else:
            first, *words = words
            value = first[1] if first[1] is not None else _scalar(first.group())
        found.setdefault(name.group(), []).append(value)
    return found, words


def _scalar(word: str) -> Any:
    if word in ("true", "false"):
        return word == "true"
    try:
        return int(word, 0)
    except ValueError:
        return word
