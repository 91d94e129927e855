"""What a rule finds, and what all rules share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from nibblefit_tidl.devices import Device
from nibblefit_tidl.qdq.structure import Structure


class Severity(StrEnum):
    """How bad a problem is."""

    ERROR = "error"  #: the tools refuse the model or compute something else
    WARNING = "warning"  #: accuracy or robustness is lost
    NOTE = "note"  #: legal, but not as the vendor's exporter writes it


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding.

    Attributes:
        rule: Identifier; the manual explains each.
        severity: See `Severity`.
        node: Node or tensor; empty for the model as a whole.
        message: What was found and what was expected.
        remedy: What to do.
    """

    rule: str
    severity: Severity
    node: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What rules look at.

    Attributes:
        structure: The model.
        device: The device to check for, None for the rules that hold on all.
    """

    structure: Structure
    device: Device | None


Rule: TypeAlias = Callable[[Subject], Iterator[Problem]]


def error(rule: str, node: str, message: str, remedy: str) -> Problem:
    """Return an error."""
    return Problem(rule, Severity.ERROR, node, message, remedy)


def warning(rule: str, node: str, message: str, remedy: str) -> Problem:
    """Return a warning."""
    return Problem(rule, Severity.WARNING, node, message, remedy)


def note(rule: str, node: str, message: str, remedy: str) -> Problem:
    """Return a note."""
    return Problem(rule, Severity.NOTE, node, message, remedy)
