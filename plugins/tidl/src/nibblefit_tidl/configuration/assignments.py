"""Text of the form ``key = value``, one a line: into entries, and out again.

Both importers read it. ``#`` begins a comment, also behind a value, but not inside quotes; a
value may be quoted; lists are separated by spaces or commas. Windows paths keep their backslashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nibblefit_tidl.configuration.problems import Problems

#: Largest file that is read, in characters; configurations take a few thousand.
LARGEST_TEXT = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One assignment.

    Attributes:
        key: Left of the equal sign.
        value: Right of it, without comment and without the quotes around it.
        line: From 1; 0 for one from a command line.
    """

    key: str
    value: str
    line: int

    @property
    def words(self) -> list[str]:
        """The value as a list."""
        return self.value.replace(",", " ").split()


def entries_of(text: str, problems: Problems) -> list[Entry]:
    """Return the assignments of a text; whatever is none is recorded as a problem."""
    if len(text) > LARGEST_TEXT:
        problems.add(0, f"{len(text):,} characters are no configuration",
                     "give the text file that the importer reads")  # fmt: skip
        return []
    found: dict[str, Entry] = {}
    for number, line in enumerate(text.splitlines(), 1):
        entry = _entry(line, number, problems)
        if entry is None:
            continue
        if entry.key in found:
            problems.add(number, f"'{entry.key}' is given again; line {found[entry.key].line} "
                         "already sets it", "keep one of the two lines")  # fmt: skip
        found.setdefault(entry.key, entry)
    return list(found.values())


def _entry(line: str, number: int, problems: Problems) -> Entry | None:
    key, equals, rest = line.partition("=")
    if not key.strip() or key.lstrip().startswith("#"):
        if equals and not key.strip():
            problems.add(number, "there is no key before '='", "write key = value")
        return None
    if not equals:
        problems.add(number, f"'{line.strip()[:60]}' assigns nothing", "write key = value, or # "
                     "before a comment")  # fmt: skip
        return None
    name = key.strip()
    value = _value(rest.strip())
    if value is None:
        problems.add(number, f"'{name}': a quote is not closed, or text follows it",
                     'write key = "value"')  # fmt: skip
        return None
    return Entry(name, value, number)


def _value(rest: str) -> str | None:
    """Return a value without comment and quotes, None where the quotes are wrong."""
    if not rest.startswith('"'):
        return rest.partition("#")[0].strip()
    text, closing, behind = rest[1:].partition('"')
    trailing = behind.strip()
    return text if closing and (not trailing or trailing.startswith("#")) else None


def text_of(values: Iterable[tuple[str, Any]], comments: Mapping[str, str] | None = None) -> str:
    """Return assignments as text that `entries_of` reads again.

    Args:
        values: Keys with integers, floats, texts or tuples of them.
        comments: Key → what it means, written above it.
    """
    notes, lines = comments or {}, []
    for key, value in values:
        lines += [f"# {note}" for note in [notes.get(key, "")] if note]
        lines.append(f"{key} = {_written(value)}")
    return "\n".join(lines) + "\n"


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        if any(isinstance(item, str) for item in value):
            return '"' + " ".join(value) + '"'
        return " ".join(map(_number, value))
    return f'"{value}"' if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1 << 53 else repr(float(value))
