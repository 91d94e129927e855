"""What was found wrong in one file: collected with lines and rules, raised together."""

from __future__ import annotations

from dataclasses import dataclass, field

from nibblefit.errors import InputError
from nibblefit_maxim.rules import RULES, Rule, Severity


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding.

    Attributes:
        file: Name of the file.
        line: Line from 1; 0 means the file as a whole.
        rule: The rule that was broken.
        message: What was expected and found; names the layer.
        remedy: What to do.
    """

    file: str
    line: int
    rule: Rule
    message: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.message}"


@dataclass(slots=True)
class Problems:
    """Everything found wrong in one file."""

    file: str
    found: list[Problem] = field(default_factory=list)

    def add(self, line: int, rule: str, message: str, remedy: str = "") -> None:
        """Record one problem.

        Args:
            line: Where; 0 means the file as a whole.
            rule: Name of a rule in `nibblefit_maxim.rules`.
            message: What was expected and found.
            remedy: What to do; empty takes the rule's.
        """
        known = RULES[rule]
        problem = Problem(self.file, line, known, message, remedy or known.remedy)
        if problem not in self.found:
            self.found.append(problem)

    def blocking(self) -> list[Problem]:
        """Return what keeps the reader from making a graph of the file."""
        return [
            problem
            for problem in self.found
            if problem.rule.severity is Severity.ERROR or not problem.rule.is_readable
        ]

    def raise_if_any(self) -> None:
        """Raise all blocking problems as one error.

        Raises:
            InputError: At least one blocking problem was recorded.
        """
        blocking = self.blocking()
        if not blocking:
            return
        if len(blocking) == 1:
            raise InputError(str(blocking[0]), hint=blocking[0].remedy)
        lines = "".join(f"\n  • {problem}\n    → {problem.remedy}" for problem in blocking)
        raise InputError(
            f"{self.file} has {len(blocking)} problems{lines}",
            hint="correct them and read the file again",
        )
