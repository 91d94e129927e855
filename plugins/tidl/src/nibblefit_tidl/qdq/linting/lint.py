"""`lint_qdq`: every problem of a QDQ model at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from nibblefit_tidl.devices import device_named
from nibblefit_tidl.qdq.linting import activation_rules, layer_rules, model_rules, weight_rules
from nibblefit_tidl.qdq.linting.problem import Problem, Rule, Severity, Subject
from nibblefit_tidl.qdq.structure import load_qdq, structure_of

RULES: tuple[Rule, ...] = (
    *model_rules.RULES,
    *activation_rules.RULES,
    *weight_rules.RULES,
    *layer_rules.RULES,
)


@dataclass(frozen=True, slots=True)
class Lint:
    """What the linter found, errors first.

    Attributes:
        problems: All findings.
        summary: One line.
    """

    problems: tuple[Problem, ...]
    summary: str

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Findings that the tools would stumble over."""
        return tuple(entry for entry in self.problems if entry.severity is Severity.ERROR)

    def lines(self) -> list[str]:
        """Return one line per finding."""
        return [
            f"{entry.severity.value} {entry.rule}"
            f"{f' at {entry.node}' if entry.node else ''}: {entry.message}\n  → {entry.remedy}"
            for entry in self.problems
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the findings as JSON values."""
        keys = ("rule", "node", "message", "remedy")
        found = [
            {"severity": entry.severity.value, **{key: getattr(entry, key) for key in keys}}
            for entry in self.problems
        ]
        return {"summary": self.summary, "problems": found}


def lint_qdq(path: Path | str, part: str = "") -> Lint:
    """Check a QDQ model.

    Args:
        path: The ONNX file.
        part: Device; empty: only the rules that hold on all devices.

    Raises:
        InputError: The file cannot be read.
        RecipeError: There is no such device.
    """
    return lint_model(load_qdq(path), part)


def lint_model(model: onnx.ModelProto, part: str = "") -> Lint:
    """Check a loaded QDQ model; see `lint_qdq`."""
    subject = Subject(structure_of(model), device_named(part) if part else None)
    found = [problem for rule in RULES for problem in rule(subject)]
    order = list(Severity)
    found.sort(key=lambda entry: order.index(entry.severity))
    counts = {kind: sum(entry.severity is kind for entry in found) for kind in Severity}
    words = ", ".join(f"{count} {kind.value}{'s' * (count != 1)}" for kind, count in counts.items())
    return Lint(tuple(found), f"{words} in {len(model.graph.node)} nodes")
