"""What is wrong in one file: collected with keys and lines, raised together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nibblefit.errors import InputError


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing about one key.

    Attributes:
        key: As the file spells it; empty for the file as a whole.
        message: What was found and why it is wrong.
        remedy: What to do.
    """

    key: str
    message: str
    remedy: str


@dataclass(slots=True)
class Problems:
    """Everything wrong in one file.

    Attributes:
        file: Name of the file.
        lines: Key → line from 1, as far as the file was understood.
        found: One text per problem, with its line, and the remedy.
    """

    file: str
    lines: dict[str, int] = field(default_factory=dict)
    found: list[tuple[str, str]] = field(default_factory=list)

    def add(self, line: int, message: str, remedy: str) -> None:
        """Record a problem; line 0 means the file as a whole."""
        where = f"{self.file}:{line}" if line else self.file
        self.found.append((f"{where}: {message}", remedy))

    def add_all(self, remarks: Iterable[Remark]) -> None:
        """Record what rules found, at the lines of their keys."""
        for remark in remarks:
            self.add(self.lines.get(remark.key, 0), remark.message, remark.remedy)

    def raise_if_any(self) -> None:
        """Raise all problems as one error.

        Raises:
            InputError: There is at least one.
        """
        if not self.found:
            return
        if len(self.found) == 1:
            raise InputError(self.found[0][0], hint=self.found[0][1])
        lines = "".join(f"\n  • {what}\n    → {remedy}" for what, remedy in self.found)
        raise InputError(
            f"{self.file} has {len(self.found)} problems{lines}", hint="correct them and try again"
        )


def refuse(what: str, remarks: Iterable[Remark], lines: Mapping[str, int] | None = None) -> None:
    """Raise remarks about a value that is in no file, or in one whose lines are known.

    Raises:
        InputError: There is at least one remark.
    """
    problems = Problems(what, dict(lines or {}))
    problems.add_all(remarks)
    problems.raise_if_any()
