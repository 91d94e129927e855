"""What is wrong in one configuration: collected with lines, raised together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from nibblefit.errors import InputError
from nibblefit_vitis.configuration.json_text import KeyPath, line_of

#: Longest value shown in a message.
_SHOWN = 60


#: Stands for no value: the edit takes the key out.
REMOVED = object()
#: Paths of the file → values that mend a problem.
Edits: TypeAlias = Mapping[KeyPath, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: Where; empty for the file as a whole.
        line: From 1; 0 where there is no file.
        message: Key, value found, values accepted.
        remedy: What to do.
        edits: The remedy as edits; empty where only the user can know.
    """

    path: KeyPath
    line: int
    message: str
    remedy: str
    edits: Edits = field(default_factory=lambda: MappingProxyType({}))

    @property
    def keys(self) -> tuple[str | int, ...]:
        """Keys that its remedy sets."""
        return tuple(path[-1] for path in self.edits)


@dataclass(slots=True)
class Problems:
    """Everything wrong in one configuration, in the order it was found.

    Attributes:
        file: What messages call it.
        lines: Way to a key → line from 1; empty where it is no file.
        found: What is wrong.
    """

    file: str
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    found: list[Problem] = field(default_factory=list)

    def add(self, path: KeyPath, message: str, remedy: str, edits: Edits | None = None) -> None:
        """Record a problem with the value at a path; the empty path is the file as a whole."""
        line = line_of(self.lines, path)
        self.found.append(Problem(path, line, message, remedy, MappingProxyType(dict(edits or {}))))

    def raise_if_any(self, *, first_only: bool = False) -> None:
        """Raise all problems as one error, or just the first one.

        Raises:
            InputError: There is at least one.
        """
        if not self.found:
            return
        if len(self.found) == 1 or first_only:
            raise InputError(self.placed(self.found[0]), hint=self.found[0].remedy)
        lines = "".join(f"\n  • {self.placed(one)}\n    → {one.remedy}" for one in self.found)
        raise InputError(
            f"{self.file} has {len(self.found)} problems{lines}", hint="correct them and try again"
        )

    def placed(self, problem: Problem) -> str:
        """Return the message behind file and line."""
        line = f":{problem.line}" if problem.line else ""
        return f"{self.file}{line}: {problem.message}"


def dotted(path: KeyPath) -> str:
    """Return ``layer_quantize_config[0].layer_type`` for such a path."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{shortened(part)}"
    return text.removeprefix(".")


def shown(value: object) -> str:
    """Return a value as JSON would spell it, shortened."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    return shortened(f'"{value}"' if isinstance(value, str) else str(value))


def shortened(text: str) -> str:
    """Return a text of the user's, cut where a message would drown in it."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
