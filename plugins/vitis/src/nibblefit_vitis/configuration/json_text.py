"""JSON text with the line of every key, which the JSON parser does not report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from nibblefit.errors import InputError, unreadable

#: Way to a value: keys of objects, indices of lists.
KeyPath: TypeAlias = tuple[str | int, ...]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|\n|[^\s{}\[\],:"]+')
#: Nesting that no configuration has, and that recursive code still takes.
_DEEPEST = 100


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        InputError: It cannot be read, or is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8", hint="save it as UTF-8") from error


def parse_object(text: str, file: str) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """Return a JSON object and the line of every key and list entry in it.

    Raises:
        InputError: It is no JSON object, or names a key twice; says the line.
    """
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise _unreadable(f"{file}:{error.lineno}", error.msg) from error
    except (ValueError, RecursionError) as error:
        raise _unreadable(file, str(error)) from error
    if not isinstance(found, dict):
        raise InputError(f"{file}:1: not a JSON object", hint='write {"target_device": "DPU", …}')
    return found, _lines(text, file)


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """Return the line of a path, or of the nearest thing around it; 0 if nothing is known."""
    for depth in range(len(path), 0, -1):
        if path[:depth] in lines:
            return lines[path[:depth]]
    return 0


def without(document: Mapping[str, Any], paths: Iterable[KeyPath]) -> dict[str, Any]:
    """Return a copy of a document without the keys at some paths; lists keep their entries."""
    gone = set(paths)

    def kept(value: Any, path: KeyPath) -> Any:
        if isinstance(value, Mapping):
            return {key: kept(item, (*path, key)) for key, item in value.items()
                    if (*path, key) not in gone}  # fmt: skip
        if isinstance(value, list):
            return [kept(item, (*path, place)) for place, item in enumerate(value)]
        return value

    found: dict[str, Any] = kept(document, ())
    return found


def _unreadable(where: str, why: str) -> InputError:
    return InputError(f"{where}: not readable as JSON: {why}", hint="correct the JSON there")


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


def _lines(text: str, file: str) -> dict[KeyPath, int]:
    """Walk the tokens of a valid JSON text; `path` is where the next value goes."""
    lines: dict[KeyPath, int] = {}
    path: list[str | int] = []
    line, is_key = 1, False
    for match in _TOKEN.finditer(text):
        word = match.group()
        if word == "\n":
            line += 1
        elif word in ("}", "]"):
            path.pop()
            is_key = False
        elif word == ",":
            is_key = isinstance(path[-1], str)
            path[-1] = path[-1] if isinstance(path[-1], str) else path[-1] + 1
        elif is_key:
            path[-1], is_key = json.loads(word), False
            _enter(lines, tuple(path), line, file)
        elif word != ":":
            if path and isinstance(path[-1], int):
                lines[tuple(path)] = line
            is_key = word == "{"
            path += [""] if word == "{" else [0] if word == "[" else []
        if len(path) > _DEEPEST:
            raise _unreadable(f"{file}:{line}", f"more than {_DEEPEST} levels")
    return lines


def _enter(lines: dict[KeyPath, int], path: KeyPath, line: int, file: str) -> None:
    if path in lines:
        raise InputError(f"{file}:{line}: '{path[-1]}' is given twice, first in line {lines[path]}",
                         hint="keep one of the two")  # fmt: skip
    lines[path] = line
