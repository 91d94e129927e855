"""What a rule of well-formedness is, and what breaking one looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where a rule is broken.

    Attributes:
        where: Node or tensor.
        what: Expected and found, with the numbers.
        remedy: What to do.
    """

    where: str
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A named rule.

    Attributes:
        id: Stable identifier, ``family.subject``.
        sentence: What must hold.
        check: Graph to everything that breaks the rule.
        needs: Rules that must hold before this one can be checked.
    """

    id: str
    sentence: str
    check: Callable[[Any], Iterable[Finding]]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule at one place."""

    rule: str
    where: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"[{self.rule}] {self.where}: {self.what}{remedy}"


def violations_of(rules: Iterable[Rule], graph: Any) -> list[Violation]:
    """Return every violation, in rule order; rules whose needs are broken are left out."""
    found: list[Violation] = []
    broken: set[str] = set()
    for rule in rules:
        if broken.intersection(rule.needs):
            broken.add(rule.id)
            continue
        hits = [Violation(rule.id, f.where, f.what, f.remedy) for f in rule.check(graph)]
        if hits:
            broken.add(rule.id)
            found += hits
    return found
